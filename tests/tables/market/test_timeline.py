"""A market's panes in time against a naive model: the clock, running sums, eviction."""

import pytest
from hypothesis import given

from tables.market.chunk import CHUNK_PANES
from tests.tables.market.moves import MOVES, SPAN, START, Model, Move, a_market, add, assert_as, numbers_of


@given(MOVES)
def test_sums_panes_and_windows_are_the_models(moves: list[Move]) -> None:
    """After every trade, whatever the order; a trade too old for its pane is told."""
    market, model = a_market(), Model()
    for trade_id, (number, notional, liquidation) in enumerate(numbers_of(moves)):
        kept = model.add(number, notional, liquidation=liquidation)
        assert add(market, number, trade_id, notional, liquidation=liquidation) == kept
        assert_as(model, market)


@given(MOVES)
def test_counting_everything_twice_changes_nothing(moves: list[Move]) -> None:
    """The ids are in the panes: what is still kept is counted once."""
    market, model = a_market(), Model()
    steps = numbers_of(moves)
    for trade_id, (number, notional, liquidation) in enumerate(steps):
        model.add(number, notional, liquidation=liquidation)
        add(market, number, trade_id, notional, liquidation=liquidation)
    for trade_id, (number, notional, liquidation) in enumerate(steps):
        add(market, number, trade_id, notional, liquidation=liquidation)
    late = {trade_id for trade_id, (number, _, _) in enumerate(steps) if number not in model.kept()}
    if not late:
        assert_as(model, market)


def test_the_edges_of_what_is_kept() -> None:
    """The oldest pane kept counts, the one before it is late; the window loses a pane when the next begins."""
    market = a_market()
    add(market, START, 1, 5)
    assert add(market, START - SPAN.retention + 1, 2, 7)
    assert not add(market, START - SPAN.retention, 3, 7)
    add(market, START + SPAN.window - 1, 4, 11)
    assert market.volume == 16
    add(market, START + SPAN.window, 5, 13)
    assert market.volume == 24


def test_what_has_left_is_forgotten() -> None:
    """Memory holds what is kept and at most a chunk more, however long a market trades."""
    market = a_market()
    for number in range(START, START + 2000):
        add(market, number, number, 1)
    assert len(market.chunks) <= SPAN.retention // CHUNK_PANES + 2
    assert market.pane(START) is None
    assert len(market._numbers) <= SPAN.retention + CHUNK_PANES


@pytest.mark.parametrize(("ahead", "must"), [(SPAN.slack, False), (SPAN.slack + 1, True)])
def test_event_time_may_not_run_far_past_the_last_flush(ahead: int, must: bool) -> None:
    """Else a chunk that a replay needs could be overwritten."""
    market = a_market()
    add(market, START, 1, 1)
    assert not market.must_flush()
    add(market, START + ahead, 2, 1)
    assert market.must_flush() is must
