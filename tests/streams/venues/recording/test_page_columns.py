"""Pages of REST Trades that are read in columns are those that are read row by row."""

from collections.abc import Sequence
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.plain_trades import PlainTrades
from streams.model.trade import Batch, Reject, Trade
from streams.venues.recording.finding import Finder
from streams.venues.recording.lines import Chunk, Format
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT

START = 1_762_795_433

numbers = st.decimals(min_value="0.00000001", max_value=10**6, places=8).map(lambda one: f'"{one}"')
odd_numbers = st.sampled_from(['"0"', '"-1"', "1.5", '"1_0"', '"x"', '"1234567.12345678901"', '"1e30"', "null"])


def mostly(plain: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give a plain text in nearly all cases: one odd row makes a page odd."""
    return st.integers(0, 99).flatmap(lambda draw: odd if draw == 0 else plain)


rows = st.tuples(
    mostly(numbers, odd_numbers),
    mostly(numbers, odd_numbers),
    mostly(
        st.integers(0, 9_999_999_999).map(lambda part: f"{START + part / 1e6:.7f}"),
        st.sampled_from(["0", '"1762795433"', "1e12", str(START)]),
    ),
    mostly(st.sampled_from(['"b"', '"s"']), st.sampled_from(['"buy"', '""', "1"])),
    st.just('"m"'),
    st.just('""'),
    mostly(st.integers(1, 2**63 - 1).map(str), st.sampled_from(["0", "-1", str(2**63), '"7"'])),
).map(lambda cells: f"[{','.join(cells)}]")


def page(some: Sequence[str], pair: str = "XXBTZUSD") -> str:
    """Return an answer with these rows."""
    return f'{{"error":[],"result":{{"{pair}":[{",".join(some)}],"last":"1"}}}}'


pages = mostly(
    st.lists(rows, max_size=8).map(page),
    st.sampled_from(
        ["", "{", '{"error":[],"result":{}}', page(['["1","1",1762795433.5,"b"]']), '{"channel":"heartbeat"}']
    ),
)


def format_of() -> Format:
    """Return the format of pages."""
    venues = {one.name: one.called("recording:x") for one in (KRAKEN_SPOT, KRAKEN_FUTURES)}
    head = [page([f'["1","1",{START}.5,"b","m","",{number}]']).encode() for number in (7, 8)]
    return Finder("x", PurePath("x.jsonl"), "recording:x", venues, None).find(head, lambda: b"").make(0)


def content(batches: Sequence[Batch]) -> tuple[list[Trade], list[Reject]]:
    """Return all trades and all rejects."""
    return [trade for batch in batches for trade in batch.trades], [bad for batch in batches for bad in batch.rejects]


@given(texts=st.lists(pages, min_size=1, max_size=6))
def test_pages_in_columns_are_pages_read_row_by_row(texts: list[str]) -> None:
    """Whatever their rows hold, whichever way their times go: equal trades in the same order, equal refusals."""
    chunk = Chunk([text.encode() for text in texts], 5, 1, 5)
    assert content(format_of().read_together(chunk)) == content(format_of().read(chunk))


@pytest.mark.parametrize("step", [1, -1])
def test_a_page_is_read_in_columns_oldest_first(step: int) -> None:
    """Whichever way its rows go."""
    some = [f'["100.{at}00","0.5",{START + at}.1234567,"s","l","",{at + 1}]' for at in range(5)][::step]
    (batch,) = format_of().read_together(Chunk([page(some).encode()], 1, 1, 1))
    assert isinstance(batch.trades, PlainTrades)
    assert [trade.trade_id for trade in batch.trades] == [1, 2, 3, 4, 5]
    assert batch.trades.times_us.tolist() == [trade.time_us for trade in batch.trades]
