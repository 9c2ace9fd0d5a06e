"""Rows of CSV that are read in columns are those that are read alone: trades, order, refusals, frames."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.plain_trades import PlainTrades
from streams.model.trade import Batch, Reject, Trade
from streams.publish.coalescer import Coalescer
from streams.publish.screening import framed
from streams.venues.recording.finding import Finder
from streams.venues.recording.lines import Chunk, Format
from streams.venues.recording.merging import merged
from streams.venues.recording.merging_columns import merged_columns
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT
from tests.streams.venues.recording.playing import recording, trades_of, write

NOW_US = 1_760_000_000_000_000
START_MS = 1_700_000_000_000
IDS_BEFORE = 1 << 40

plain_prices = st.decimals(min_value="0.00000001", max_value=10**6, places=8).map(str) | st.sampled_from(
    ["36160.9", "0.5", "1", "100.10", "1e3", "2.5E-3", " 7", "+8", "0000012.5"]
)
odd_numbers = st.sampled_from(
    ["", "-1", "0", "nan", "Infinity", "x", "1e30", "1e-30", "1234567.12345678901", "9" * 20, "1.0e400", "0x1", "²"]
)
times = st.integers(START_MS, START_MS + 90_000).map(str)
odd_times = st.sampled_from(["", "0", "-5", "soon", "1e12", "17000000000000000", "4" * 30, f"{START_MS}.75", "²"])
ids = st.integers(1, 2**63 - 1).map(str)
odd_ids = st.sampled_from(["0", "", "x", "-3", "+4", "17.0", str(2**63), "9" * 30, " 5"])
sides = st.sampled_from(["buy", "sell", "b", "S", "BUY"])
odd_sides = st.sampled_from(["", "short", "unknown", " buy"])
symbols = st.sampled_from(["XBT/USD", "BTC/USD", "XBTUSD", "ETH-USD"])
odd_symbols = st.sampled_from(["PI_XBTUSD", "PF_ETHUSD", "BTC/EUR", "", "?|"])
HEADER = "symbol,trade_id,time_ms,side,price,qty"


def mostly(plain: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give a plain text in most cases."""
    return st.integers(0, 39).flatmap(lambda draw: odd if draw == 0 else plain)


rows = st.tuples(
    mostly(symbols, odd_symbols),
    mostly(ids, odd_ids),
    mostly(times, odd_times),
    mostly(sides, odd_sides),
    mostly(plain_prices, odd_numbers),
    mostly(plain_prices, odd_numbers),
).map(",".join)
odd_lines = st.sampled_from(
    ["", HEADER, "1,2", "a,b,c,d,e,f,g", '"XBT/USD",1,1700000000000,buy,1,1', "1_0,1,1,1,1,1", "\x85"]
)
lines = st.lists(mostly(rows, odd_lines), min_size=1, max_size=60)


def format_of(*head: str) -> Format:
    """Return the format of a file that begins with these lines."""
    venues = {one.name: one.called("recording:x") for one in (KRAKEN_SPOT, KRAKEN_FUTURES)}
    finder = Finder("x", PurePath("XBTUSD.csv"), "recording:x", venues, None)
    return finder.find([line.encode() for line in head], lambda: b"").make(IDS_BEFORE)


def content(batches: Sequence[Batch]) -> tuple[list[Trade], list[Reject]]:
    """Return all trades and all rejects."""
    return [trade for batch in batches for trade in batch.trades], [bad for batch in batches for bad in batch.rejects]


def frames(batches: Sequence[Batch], latest_us: int) -> dict[str, list[tuple[bytes | None, int, list[Reject]]]]:
    """Return what each market's groups become."""
    coalescer, found = Coalescer(7, 1000), dict[str, list[tuple[bytes | None, int, list[Reject]]]]()
    groups = chain.from_iterable(coalescer.add(batch.trades, NOW_US, 0) for batch in batches)
    for group in (*groups, *coalescer.flush()):
        found.setdefault(group.symbol, []).append(framed(group, NOW_US, latest_us))
    return found


@given(texts=lines, ending=st.sampled_from(["", "", "\r"]))
def test_a_chunk_in_columns_is_the_chunk_read_row_by_row(texts: list[str], ending: str) -> None:
    """Whatever its rows hold: equal trades in the same order, equal refusals, equal frames."""
    read = format_of(HEADER, f"XBT/USD,17,{START_MS},buy,1,1", f"XBT/USD,18,{START_MS},buy,1,1")
    chunk = Chunk([(text + ending).encode("latin-1") for text in texts], 2, 1, 1)
    alone, together = read.read(chunk), read.read_together(chunk)
    assert content(together) == content(alone)
    latest_us = (START_MS + 60_000) * 1000
    assert frames(together, latest_us) == frames(alone, latest_us)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (("1700000000,1.5,2",), "{second},{price},0.5"),
        (("timestamp,price,volume",), "{second}.1234567,{price},0.5"),
        (("time_us,price,qty",), "{second}123456,{price},0.5"),
        (("time_ns,price,qty",), "{second}123456789,{price},0.5"),
        (("date,price,qty",), "2023-11-14T22:13:20.5Z,{price},0.5"),
        (("exchange,symbol,timestamp,id,side,price,amount",), "kraken,XBT/USD,{second}000000,{id},buy,{price},0.5"),
        (("time_ms;side;price;qty",), "{second}000;sell;{price};3"),
        (("uid,time_ms,side,price,qty,type",), "{id},{second}000,sell,{price},3,fill"),
    ],
)
def test_each_layout_is_read_in_columns(head: tuple[str, ...], row: str) -> None:
    """The layouts that people have, in every unit of time: all rows in columns, equal to rows read alone."""
    texts = [row.format(second=1_700_000_000 + at, price=f"{36000 + at / 8}", id=at + 1).encode() for at in range(40)]
    read = format_of(*head, *(text.decode() for text in texts[:3]))
    chunk = Chunk(texts, 2, 1, 1)
    (batch,) = read.read_together(chunk)
    assert isinstance(batch.trades, PlainTrades)
    assert content([batch]) == content(read.read(chunk))
    assert len(batch.trades) == 40


@given(
    files=st.lists(st.lists(st.integers(0, 25) | st.just(10**6), min_size=0, max_size=40), min_size=2, max_size=4),
    size=st.integers(1, 9),
)
def test_files_merged_in_columns_are_files_merged_trade_by_trade(files: list[list[int]], size: int) -> None:
    """Whatever their order, and with trades of the future among them."""
    read = format_of("trade_id,time_ms,side,price,qty", f"1,{START_MS},buy,1,1", f"2,{START_MS},buy,1,1")
    chunks = [
        [
            Chunk(
                [f"{number * 1000 + second + 1},{START_MS + second * 1000},buy,1,1".encode() for second in some],
                2,
                1,
                1,
            )
            for some in (seconds[at : at + size] for at in range(0, len(seconds), size))
        ]
        for number, seconds in enumerate(files)
    ]
    until_us = (START_MS + 30_000) * 1000
    alone = merged([iter([read.read(chunk) for chunk in some]) for some in chunks], until_us)
    together = merged_columns([iter([read.read_together(chunk) for chunk in some]) for some in chunks], until_us)
    assert content([*chain(*together)]) == content([*chain(*alone)])


async def test_several_files_are_played_in_columns(tmp_path: Path) -> None:
    """Three markets, interleaved, in the order of time."""
    paths = [
        write(
            tmp_path / f"{name}.csv",
            "trade_id,time_ms,side,price,qty",
            *(f"{at + 1},{START_MS + 7 * at + shift},buy,{at + 1},1" for at in range(5000)),
        )
        for shift, name in enumerate(("XBTUSD", "ETHUSD", "SOLUSD"))
    ]
    feed = recording(*paths)
    batches = [batch async for batch in feed.batches()]
    assert all(isinstance(batch.trades, PlainTrades) for batch in batches)
    trades = [trade for batch in batches for trade in batch.trades]
    assert trades == await trades_of(recording(*paths, speed=1e12))
    assert len(trades) == 15_000
