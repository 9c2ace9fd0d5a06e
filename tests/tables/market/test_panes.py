"""The pane: exact sums in any order, the same whether trades come one by one or summed."""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.amounts import MAX_NOTIONAL_MICRO_USD, UNITS_PER_BASE
from streams.model.trade import Side
from tables.market.panes import SUM_LIMIT, Pane

Row = tuple[int, int, float, int, int, int, int, int, bool]

ROWS = st.lists(
    st.tuples(
        st.integers(0, 200),  # id
        st.integers(0, 20),  # time, often the same
        st.floats(0.5, 2, width=16),
        st.integers(0, MAX_NOTIONAL_MICRO_USD),
        st.integers(-500_000_000, 500_000_000),
        st.integers(0, 10**17),
        st.integers(0, UNITS_PER_BASE - 1),
        st.sampled_from(Side),
        st.booleans(),
    ),
    unique_by=lambda row: row[0],
    max_size=12,
)


def pane_of(rows: Sequence[Row]) -> Pane:
    """Return the pane that counted these trades, one by one."""
    pane = Pane([])
    for row in rows:
        pane.add_trade(*row)
    return pane


def total(rows: Sequence[Row], at: int, *sides: Side, liquidated: bool = False) -> int:
    """Sum a column over the trades of some sides."""
    chosen = [row for row in rows if not sides or row[7] in sides]
    return sum(int(row[at]) for row in chosen if not liquidated or row[8])


@given(ROWS)
def test_figures_are_those_of_the_list(rows: list[Row]) -> None:
    """Sums, extremes, first and last by time and then id."""
    pane = pane_of(rows)
    assert pane.count == len(rows)
    assert (pane.notional, pane.rest) == (total(rows, 3), total(rows, 4))
    assert pane.whole * UNITS_PER_BASE + pane.fraction == total(rows, 5) * UNITS_PER_BASE + total(rows, 6)
    assert 0 <= pane.fraction < UNITS_PER_BASE
    assert (pane.buy, pane.sell) == (total(rows, 3, Side.BUY), total(rows, 3, Side.SELL))
    assert pane.long_liquidated == total(rows, 3, Side.SELL, liquidated=True)
    assert pane.short_liquidated == total(rows, 3, Side.BUY, liquidated=True)
    assert pane.liquidated == pane.long_liquidated + pane.short_liquidated
    if rows:
        ordered = sorted(rows, key=lambda row: (row[1], row[0]))
        assert (pane.first_us, pane.first_id, pane.first_price) == (ordered[0][1], ordered[0][0], ordered[0][2])
        assert (pane.last_us, pane.last_id, pane.last_price) == (ordered[-1][1], ordered[-1][0], ordered[-1][2])
        assert (pane.high, pane.low) == (max(row[2] for row in rows), min(row[2] for row in rows))
        assert pane.largest == max(row[3] for row in rows)


@given(ROWS, st.data())
def test_order_does_not_matter(rows: list[Row], data: st.DataObject) -> None:
    """Bit for bit."""
    assert pane_of(data.draw(st.permutations(rows))) == pane_of(rows)


@given(ROWS, st.data())
def test_parts_add_up_to_the_whole(rows: list[Row], data: st.DataObject) -> None:
    """Trades summed by column, in any number of parts, in any order of the parts."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    parts = [pane_of(rows[start:end]) for start, end in pairwise([0, *cuts, len(rows)])]
    added = Pane([])
    for part in data.draw(st.permutations(parts)):
        added.add_figures(part)
    assert added == pane_of(rows)


@pytest.mark.parametrize(("side", "long", "short"), [(Side.SELL, 70, 0), (Side.BUY, 0, 70), (Side.UNKNOWN, 0, 0)])
def test_the_taker_is_who_is_liquidated(side: Side, long: int, short: int) -> None:
    """A sell closes a long, a buy closes a short."""
    pane = pane_of([(1, 1, 1.0, 70, 0, 1, 0, side, True)])
    assert (pane.long_liquidated, pane.short_liquidated, pane.liquidated) == (long, short, long + short)


def test_fractions_carry() -> None:
    """Ten times a tenth of a coin is a coin."""
    tenth = UNITS_PER_BASE // 10
    pane = pane_of([(number, 1, 1.0, 1, 0, 0, tenth, 1, False) for number in range(10)])
    assert (pane.whole, pane.fraction) == (1, 0)


def test_a_pane_knows_when_it_is_full() -> None:
    """No sum passes 64 bits; what would is refused before it is added."""
    pane = Pane([], notional=SUM_LIMIT - 10, whole=SUM_LIMIT - 10)
    assert pane.has_room(9, 9)
    assert not pane.has_room(10, 9)
    assert not pane.has_room(9, 10)


@given(ROWS)
def test_a_pane_is_stored_and_read(rows: list[Row]) -> None:
    """With its ids, to the last bit of its prices."""
    pane = pane_of(rows)
    pane.ids = [row[0] for row in rows]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(pane), type=Pane) == pane


def test_the_fullest_pane_can_be_stored() -> None:
    """64 bits hold it: SUM_LIMIT is below them by enough for what is added last."""
    full = Pane(
        [0, 2**63 - 1], 10**9, SUM_LIMIT - 1, -SUM_LIMIT, SUM_LIMIT - 1, UNITS_PER_BASE - 1, SUM_LIMIT - 1,
        SUM_LIMIT - 1, SUM_LIMIT - 1, SUM_LIMIT - 1, SUM_LIMIT - 1, math.inf, 5e-324, 2**62, 2**63 - 1, 1.0,
        2**62, b"\xff" * 16, 1.0,
    )  # fmt: skip
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(full), type=Pane) == full
