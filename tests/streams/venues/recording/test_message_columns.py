"""Recorded messages that are read in columns are those that are read alone: trades, receipt, refusals, frames."""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.plain_trades import PlainTrades
from streams.model.trade import Batch, Reject, Trade
from streams.publish.coalescer import Coalescer
from streams.publish.screening import framed
from streams.venues.recording.finding import Finder
from streams.venues.recording.lines import Chunk, Format
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT

NOW_US = 1_760_000_000_000_000
START = 1_700_000_000
ROW = (
    '{"symbol":"BTC/USD","side":"buy","price":1,"qty":1,"ord_type":"limit","trade_id":7,'
    '"timestamp":"2023-11-14T22:13:20Z"}'
)

numbers = st.decimals(min_value="0.00000001", max_value=10**6, places=8).map(str) | st.sampled_from(
    ["1", "2.50", "1e2"]
)
odd_numbers = st.sampled_from(["-1", "0", '"1"', "NaN", "1e30", "1234567.12345678901", "null"])
stamps = st.integers(0, 9_999_999).map(lambda us: f"2023-11-14T22:13:{us / 1e6:09.6f}Z")
odd_stamps = st.sampled_from(["2023-11-14T22:13:20", "soon", "1999-11-14T22:13:20Z"])
OTHERS = [
    '{"channel":"heartbeat"}',
    f'{{"channel":"trade","type":"snapshot","data":[{ROW}]}}',
    '{"channel":"trade","type":"update","data":[]}',
    f'{{"channel":"trade","type":"update","data":[{ROW}],"sequence":9}}',
    '{"feed":"trade","product_id":"PI_XBTUSD","uid":"x","side":"sell","type":"fill","time":1700000000000,"qty":1,"price":2}',
    '{"method":"pong"}',
    '"text"',
    "{",
]


def mostly(plain: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give a plain text in most cases."""
    return st.integers(0, 29).flatmap(lambda draw: odd if draw == 0 else plain)


def row(symbol: str, side: str, price: str, quantity: str, number: int, stamp: str) -> str:
    """Return a row as the socket brings it."""
    return (
        f'{{"symbol":"{symbol}","side":"{side}","price":{price},"qty":{quantity},"ord_type":"market",'
        f'"trade_id":{number},"timestamp":"{stamp}"}}'
    )


rows = st.builds(
    row,
    mostly(st.sampled_from(["BTC/USD", "ETH/USD"]), st.sampled_from(["BTC/EUR", "PI_XBTUSD"])),
    mostly(st.sampled_from(["buy", "sell"]), st.just("none")),
    mostly(numbers, odd_numbers),
    mostly(numbers, odd_numbers),
    st.integers(0, 2**63 - 1),
    mostly(stamps, odd_stamps),
)
messages = mostly(
    st.lists(rows, min_size=1, max_size=3).map(
        lambda some: f'{{"channel":"trade","type":"update","data":[{",".join(some)}]}}'
    ),
    st.sampled_from(OTHERS),
)
receipts = mostly(
    st.integers(0, 90_000_000).map(lambda us: f"{START + us / 1e6:.7f}"), st.sampled_from(["0", "-1", '"1"', "1e9"])
)
enveloped = st.builds(lambda received, frame: f'{{"received":{received},"frame":{frame}}}', receipts, messages)
named = messages.map(lambda frame: f'{{"received":{START}.5,"venue":"kraken_spot","frame":{frame}}}')
quoted = messages.map(lambda frame: f'{{"received":{START}.5,"frame":{json.dumps(frame)}}}')
lines = st.lists(mostly(enveloped, messages | named | quoted | st.just("")), min_size=1, max_size=40) | st.lists(
    mostly(messages, enveloped), min_size=1, max_size=20
)


def format_of() -> Format:
    """Return the format of recorded messages."""
    venues = {one.name: one.called("recording:x") for one in (KRAKEN_SPOT, KRAKEN_FUTURES)}
    finder = Finder("x", PurePath("x.jsonl"), "recording:x", venues, None)
    return finder.find([b'{"channel":"heartbeat"}'], lambda: b"").make(0)


def content(batches: Sequence[Batch]) -> tuple[list[tuple[Trade, int]], list[Reject]]:
    """Return all trades with their receipt, and all rejects."""
    trades: list[tuple[Trade, int]] = []
    for batch in batches:
        known = batch.trades.received_us if isinstance(batch.trades, PlainTrades) else None
        received = [batch.received_us] * len(batch.trades) if known is None else known.tolist()
        trades += zip(batch.trades, received, strict=True)
    return trades, [bad for batch in batches for bad in batch.rejects]


def frames(batches: Sequence[Batch], present_us: int) -> dict[str, list[tuple[bytes | None, int, list[Reject]]]]:
    """Return what each market's groups become."""
    coalescer, found = Coalescer(7, 1000), dict[str, list[tuple[bytes | None, int, list[Reject]]]]()
    groups = chain.from_iterable(coalescer.add(batch.trades, batch.received_us or present_us, 0) for batch in batches)
    for group in (*groups, *coalescer.flush()):
        found.setdefault(group.symbol, []).append(framed(group, group.received_us, NOW_US))
    return found


@given(texts=lines)
def test_a_chunk_in_columns_is_the_chunk_read_line_by_line(texts: list[str]) -> None:
    """Whatever its lines hold: equal trades, received at the same time, in the same order, and equal refusals."""
    read, chunk = format_of(), Chunk([text.encode() for text in texts], 5, 1, 5)
    assert content(read.read_together(chunk)) == content(read.read(chunk))


@given(texts=st.lists(enveloped, min_size=1, max_size=40))
def test_messages_of_the_last_hour_become_the_frames_that_they_were(texts: list[str]) -> None:
    """Cut by size, and where they were received more than a second apart. Only an odd message may end a frame early."""
    read, chunk = format_of(), Chunk([text.encode() for text in texts], 5, 1, 5)
    together, alone = read.read_together(chunk), read.read(chunk)
    if all(isinstance(batch.trades, PlainTrades) for batch in together):
        assert frames(together, (START + 90) * 1_000_000) == frames(alone, (START + 90) * 1_000_000)


@pytest.mark.parametrize(("hours", "count"), [(0, 30), (2, 1)])
def test_messages_of_long_ago_share_frames_though_they_were_received_apart(hours: int, count: int) -> None:
    """Thirty messages two seconds apart: as many frames, or one where their latency says nothing any more."""
    text = '{{"received":{received}.25,"frame":{{"channel":"trade","type":"update","data":[{row}]}}}}'
    chunk = Chunk([text.format(received=START + 2 * at, row=ROW).encode() for at in range(30)], 1, 1, 1)
    (batch,) = format_of().read_together(chunk)
    coalescer = Coalescer(1000, 1000)
    groups = [*coalescer.add(batch.trades, (START + 60 + 3600 * hours) * 1_000_000, 0), *coalescer.flush()]
    assert len(groups) == count
    assert sum(len(group.trades) for group in groups) == 30
