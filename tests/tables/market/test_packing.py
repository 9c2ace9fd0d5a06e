"""Panes at rest: what was packed comes back in every bit, and sums over columns are those over panes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import decode_chunk, encode
from tables.market.packing import Columns, pack, unpack, volumes_of
from tables.market.panes import SUM_LIMIT, Pane

LARGE = st.integers(0, SUM_LIMIT - 1)
PRICES = st.floats(1e-12, 1e12) | st.integers(1, 10**6).map(lambda ticks: ticks / 10)
TIMES = st.integers(0, 2**52)
IDS = st.lists(st.integers(0, 2**63 - 1), max_size=3).map(lambda ids: [at for one in sorted(ids) for at in (one, one)])
UIDS = st.lists(st.binary(min_size=16, max_size=16), max_size=3).map(sorted)


def panes(ids: st.SearchStrategy[Any], one_id: st.SearchStrategy[Any]) -> st.SearchStrategy[Pane | None]:
    """Any pane, none, and panes that hold ids alone."""
    full = st.builds(
        Pane, ids, st.integers(1, 2**40), LARGE, st.integers(-(2**40), 2**40), LARGE, st.integers(0, 10**14 - 1),
        LARGE, LARGE, LARGE, LARGE, LARGE, PRICES, PRICES, TIMES, one_id, PRICES, TIMES, one_id, PRICES,
    )  # fmt: skip
    return st.none() | st.builds(Pane, ids) | full


def chunks(pane: st.SearchStrategy[Pane | None]) -> st.SearchStrategy[list[Pane | None]]:
    return st.lists(pane, min_size=CHUNK_PANES, max_size=CHUNK_PANES)


SPOT = chunks(panes(IDS, st.integers(0, 2**63 - 1)))
FUTURES = chunks(panes(UIDS, st.binary(min_size=16, max_size=16)))


@given(SPOT | FUTURES)
def test_what_is_packed_comes_back(held: list[Pane | None]) -> None:
    """In both forms; ids of 16 bytes keep the form in which they are stored."""
    assert unpack(pack(held)) == held
    chunk = Chunk(5, 7, held)
    stored = encode(chunk)
    again = decode_chunk(b"v|s|7", stored)
    again.rest()
    assert again.awake is None
    assert again == chunk
    assert encode(again) == stored
    assert again.figured == sum(1 << n for n, pane in enumerate(held) if pane is not None and pane.count)
    assert again.held == CHUNK_PANES - held.count(None)
    assert again.wake() == held


@given(SPOT, st.integers(0, CHUNK_PANES - 1), st.integers(0, CHUNK_PANES - 1))
def test_sums_over_columns_are_those_over_panes(held: list[Pane | None], one: int, other: int) -> None:
    """Of a whole chunk and of any part of it."""
    first, last = min(one, other), max(one, other)
    columns = Columns.of(pack(held))
    some = [pane for pane in held[first : last + 1] if pane is not None and pane.count]
    assert volumes_of(pack(held)) == (
        [0 if pane is None else pane.notional for pane in held],
        [0 if pane is None else pane.liquidated for pane in held],
    )
    if columns is None:
        assert held.count(None) == CHUNK_PANES
        return
    total = columns.between(first, last).with_figures().total()
    assert total.count == sum(pane.count for pane in some)
    for name in ("notional", "rest", "buy", "sell", "long_liquidated", "short_liquidated"):
        assert getattr(total, name) == sum(getattr(pane, name) for pane in some)
    assert total.whole * 10**14 + total.fraction == sum(pane.whole * 10**14 + pane.fraction for pane in some)
    if some:
        assert (total.largest, total.high) == (max(p.largest for p in some), max(p.high for p in some))
        assert (total.low, total.first_price) == (min(p.low for p in some), some[0].first_price)
        assert (total.first_us, total.first_id) == (some[0].first_us, some[0].first_id)
        assert (total.last_us, total.last_id) == (some[-1].last_us, some[-1].last_id)
        assert total.last_price == some[-1].last_price


def test_readers_share_what_rests_and_counting_does_not() -> None:
    """Who wakes a chunk has panes of its own: a reader's do not change under it."""
    chunk = Chunk(1, 2, [Pane([3, 3], 1, 10)] + [None] * (CHUNK_PANES - 1))
    chunk.rest()
    seen = chunk.panes
    assert chunk.panes is seen
    woken = chunk.wake()[0]
    assert woken is not None
    woken.count = 2
    assert seen[0] == Pane([3, 3], 1, 10)


def test_columns_are_a_third_of_what_is_stored() -> None:
    """And ids with holes stand beside them."""
    held: list[Pane | None] = [Pane([n, n], 1, 10**9 + n, first_id=n, last_id=n) for n in range(CHUNK_PANES)]
    chunk = Chunk(1, 2, held)
    stored = len(encode(chunk))
    chunk.rest()
    assert chunk.columns() is not None
    assert chunk.size < stored / 3
    chunk.wake()[5] = Pane([1, 4, 6, 9], 2)
    chunk.rest()
    assert chunk.columns() is not None
    assert chunk.panes[5] == Pane([1, 4, 6, 9], 2)
