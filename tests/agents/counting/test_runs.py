"""Cutting messages into runs: column by column or row by row, the result is the same for every frame."""

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.counting.column_runs import LEAST, Least
from agents.counting.evaluation import Evaluator
from agents.counting.runs import Row, Trades, refusal_of, row_of, rows_of
from agents.counting.tally import Outcome
from agents.rules.book import RuleBook
from agents.rules.liquidation import Liquidation
from agents.rules.price_move import PriceMove
from agents.rules.volume import Volume
from streams.errors import BadRecord
from streams.model.amounts import MAX_NOTIONAL_MICRO_USD, UNITS_PER_BASE, amounts_of
from streams.model.frames import VERSION, Frame, decode_frame, encode_frame
from streams.model.kinds import SPOT_KIND
from streams.model.products import Notional, Product, inverse, linear
from streams.model.trade import MAX_PRICE, MAX_QUANTITY, MAX_TIME_US, MIN_PRICE, MIN_TIME_US, Kind, Side, Trade
from tables.market.span import Span
from tables.market.state import Market
from tests.trades import BTC, NOON, PERPETUAL, frame_of, future, message_of, spot, worth

PANE_US = 1_000_000
LATEST_US = (NOON + 3600) * PANE_US
SPAN = Span(window=5, retention=60, slack=40)
MULTIPLES = (1, 2, 5, 10)
RULES = RuleBook((Liquidation(500, MULTIPLES), PriceMove(1, MULTIPLES), Volume(500, MULTIPLES)))
INT64 = st.integers(-(2**63), 2**63 - 1)

# The id, time, price, notional, rest, whole, fraction and flags of a trade in a frame; times are set by the frame.
PLAIN_ROW = st.tuples(
    st.floats(1, 200, width=32),
    st.integers(0, 300_000_000),
    st.integers(-500_000_000, 500_000_000),
    st.integers(0, 1000),
    st.integers(1, UNITS_PER_BASE - 1),
    st.sampled_from(Side),
)

# What a faulty or hostile publisher may put into one field of one trade.
SPOILT: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(0, 50) | INT64,
    "time_us": st.integers((NOON - 100) * PANE_US, (NOON + 100) * PANE_US)
    | st.sampled_from([MIN_TIME_US - 1, MIN_TIME_US, MAX_TIME_US, LATEST_US, LATEST_US + 1, -1])
    | INT64,
    "price": st.floats() | st.sampled_from([0.0, -1.0, 1e-300, 1e9, 1.1e9]),
    "notional": st.sampled_from([-1, MAX_NOTIONAL_MICRO_USD, MAX_NOTIONAL_MICRO_USD + 1]) | INT64,
    "rest": st.integers(-(2**31), 2**31 - 1),
    "whole": st.sampled_from([-1, 0, 2**62 // 5000, 2**62]) | INT64,
    "fraction": st.sampled_from([-1, 0, UNITS_PER_BASE]) | INT64,
    "flags": st.integers(0, 255),
}
FIELDS = tuple(SPOILT)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """A frame of up to thirty trades, in order and without a hole, of which at most three are spoilt."""
    count = draw(st.integers(1, 30))
    first_id = draw(st.integers(0, 40))
    time_us = (NOON + draw(st.integers(-5, 5))) * PANE_US
    rows = []
    for at in range(count):
        price, notional, rest, whole, fraction, side = draw(PLAIN_ROW)
        rows.append([first_id + at, time_us, price, notional, rest, whole, fraction, int(side)])
        time_us += draw(st.sampled_from([0, 1, 300_000, 1_000_000, 7_000_000]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        field = draw(st.sampled_from(FIELDS))
        rows[draw(st.integers(0, count - 1))][FIELDS.index(field)] = draw(SPOILT[field])
    return frame_from(rows)


def frame_from(rows: list[list[Any]]) -> Frame:
    """Return the frame of these rows as it would arrive, whatever they hold."""
    columns = [
        struct.pack(f"<{len(rows)}{code}", *column)
        for code, column in zip("qqdqiqqB", zip(*rows, strict=True), strict=True)
    ]
    return decode_frame(msgspec.msgpack.encode([VERSION, "v", BTC, 7, *columns]))


NEVER = 10**9
BY_NUMPY = Least(1, 1)
BY_LISTS = Least(1, NEVER)
BY_ROWS = Least(NEVER, NEVER)


def folded(frame_list: list[Frame], way: Least) -> tuple[list[Outcome], Market]:
    """Fold frames one after the other into one market."""
    market = Market("v", BTC, SPAN)
    evaluator = Evaluator(RULES, window=SPAN.window, cooldown=10, max_future_us=0)
    outcomes = []
    for offset, frame in enumerate(frame_list):
        trades = Trades(frame.venue, frame.symbol, frame.kind, frame.received_us, frame, least=way)
        done = 0
        while done < len(trades):
            outcome = evaluator.fold(market, trades, message_us=LATEST_US, partition=0, offset=offset, start=done)
            outcomes.append(outcome)
            done = outcome.done
            market.flushed_watermark = market.watermark
    outcomes.append(Outcome(alerts=evaluator.settle_all(0, [market])))
    return outcomes, market


@given(st.lists(frames(), min_size=1, max_size=4), st.sampled_from([BY_NUMPY, BY_LISTS]))
def test_columns_and_rows_give_the_same(frame_list: list[Frame], way: Least) -> None:
    """Counts, duplicates, late trades, refusals, alerts and every pane, to the bit."""
    by_columns, market_by_columns = folded(frame_list, way)
    by_rows, market_by_rows = folded(frame_list, BY_ROWS)
    assert by_columns == by_rows
    assert market_by_columns.chunks == market_by_rows.chunks
    assert market_by_columns.marks == market_by_rows.marks
    assert (market_by_columns.volume, market_by_columns.watermark) == (market_by_rows.volume, market_by_rows.watermark)


@pytest.mark.parametrize("whole", [2**58, 2**61, 2**62 - 1])
@pytest.mark.parametrize("way", [BY_NUMPY, BY_LISTS])
def test_columns_whose_sum_would_overflow_are_counted_by_row(whole: int, way: Least) -> None:
    """Until the pane is full; the rest is refused, and nothing wraps around."""
    rows = [[number, NOON * PANE_US, 1.0, 1, 0, whole, 0, int(Side.BUY)] for number in range(LEAST.for_numpy)]
    outcomes, market = folded([frame_from(rows)], way)
    fit = (2**62 - 1) // whole
    assert (outcomes[0].counted, len(outcomes[0].refused)) == (fit, LEAST.for_numpy - fit)
    pane = market.pane(NOON)
    assert pane is not None
    assert pane.whole == fit * whole


@given(frames())
def test_every_row_is_accounted_for(frame: Frame) -> None:
    """Counted, a duplicate, late or refused: nothing else, and nothing twice."""
    outcomes, _ = folded([frame], BY_NUMPY)
    total = sum(outcome.counted + outcome.duplicates + outcome.late + len(outcome.refused) for outcome in outcomes)
    assert total == len(frame)
    assert len({refusal.at for outcome in outcomes for refusal in outcome.refused}) == sum(
        len(outcome.refused) for outcome in outcomes
    )


@given(frames(), st.sampled_from([BY_NUMPY, BY_LISTS, BY_ROWS]))
def test_runs_are_the_frame_in_order(frame: Frame, way: Least) -> None:
    """Without an overlap or a gap, each of one pane."""
    trades = Trades("v", BTC, frame.kind, 0, frame, least=way)
    runs = trades.runs(PANE_US, LATEST_US)
    assert [run.start for run in runs] == [0, *(run.end for run in runs[:-1])]
    assert runs[-1].end == len(frame)
    for run in runs:
        assert {row[1] // PANE_US for row in trades.rows[run.start : run.end]} == {run.number}


@given(frames(), st.integers(1, 30))
def test_folding_in_parts_is_folding_at_once(frame: Frame, slack: int) -> None:
    """A message that must be flushed in its middle goes on where it stopped."""
    whole, market = folded([frame], BY_NUMPY)
    narrow = Market("v", BTC, Span(SPAN.window, SPAN.retention, slack))
    evaluator = Evaluator(RULES, window=SPAN.window, cooldown=10, max_future_us=0)
    trades = Trades("v", BTC, frame.kind, 7, frame)
    done = counted = 0
    while done < len(trades):
        outcome = evaluator.fold(narrow, trades, message_us=LATEST_US, partition=0, offset=0, start=done)
        assert outcome.done > done
        done = outcome.done
        counted += outcome.counted
        narrow.flushed_watermark = narrow.watermark
    assert counted == sum(outcome.counted for outcome in whole)
    assert narrow.chunks == market.chunks
    assert narrow.marks == market.marks


@pytest.mark.parametrize("size", [LEAST.for_columns, LEAST.for_numpy - 1, LEAST.for_numpy])
def test_frames_in_order_are_summed(size: int) -> None:
    """The quick way is taken where it matters: else the tests above would compare one thing with itself."""
    ordered = [spot(number, number / 10) for number in range(size)]
    assert all(run.summary is not None for run in message_of(ordered).runs(PANE_US, LATEST_US))
    by_lists = message_of(ordered, least=BY_LISTS)
    assert all(run.summary is not None for run in by_lists.runs(PANE_US, LATEST_US))
    few = message_of(ordered[: LEAST.for_columns - 1])
    assert all(run.summary is None for run in few.runs(PANE_US, LATEST_US))


@pytest.mark.parametrize("bits", [0b00100000, 0b11100000])
@pytest.mark.parametrize("frame_list", [[spot(n, n / 10) for n in range(LEAST.for_columns)], [future(1), future(2)]])
def test_what_later_releases_say_in_a_flag_is_not_looked_at(frame_list: list[Any], bits: int) -> None:
    """In the bits that mean nothing yet; a large frame is summed by column as before."""
    frame = decode_frame(frame_of(frame_list))
    later = msgspec.structs.replace(frame, flags=bytes(flags | bits for flags in frame.flags))
    for way in (BY_NUMPY, BY_LISTS, BY_ROWS):
        outcomes, market = folded([later], way)
        expected, market_before = folded([frame], way)
        assert outcomes == expected
        assert outcomes[0].counted == len(frame)
        assert market.chunks == market_before.chunks
    summed = [run.summary is not None for run in Trades("v", BTC, later.kind, 7, later).runs(PANE_US, LATEST_US)]
    assert all(summed) is (not frame.wide_ids)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda trades: trades[::-1],
        lambda trades: trades[:10] + trades[11:],
        lambda trades: [*trades[:-1], spot(trades[-1].trade_id, -1)],
        lambda trades: [spot(0, is_snapshot=True), *trades[1:]],
        lambda trades: [spot(0, kind=Kind.BLOCK), *trades[1:]],
        lambda trades: [*trades[:-1], spot(trades[-1].trade_id, 4000)],
    ],
)
def test_what_columns_cannot_decide_is_left_to_rows(spoil: Callable[[list[Any]], list[Any]]) -> None:
    """Times out of order, ids with holes, kinds and snapshots, a trade from the future."""
    spoilt = spoil([spot(number, number / 100) for number in range(LEAST.for_numpy + 1)])
    for way in (BY_NUMPY, BY_LISTS):
        assert all(run.summary is None for run in message_of(spoilt, least=way).runs(PANE_US, LATEST_US))


def test_futures_are_counted_by_row() -> None:
    """Their ids are no ranges."""
    trades = message_of([future(number, 0) for number in range(100)])
    assert [run.summary for run in trades.runs(PANE_US, LATEST_US)] == [None]
    assert trades.rows[7][0] == (7).to_bytes(16, "big")


@pytest.mark.parametrize("make", [spot, future])
def test_a_row_is_what_a_frame_would_carry(make: Callable[[int], Any]) -> None:
    """A trade that came as JSON is counted like one that came in a frame."""
    trade = make(77)
    assert rows_of(decode_frame(frame_of([trade]))) == [row_of(trade, amounts_of(trade))]


GOOD: Row = (1, NOON * PANE_US, 100.0, 100_000_000, 0, 1, 0, int(Side.BUY))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (1, MIN_TIME_US - 1, "bad_time"),
        (1, MAX_TIME_US, "bad_time"),
        (1, LATEST_US + 1, "future"),
        (2, float("nan"), "bad_price"),
        (2, float("inf"), "bad_price"),
        (2, 0.0, "bad_price"),
        (2, -1.0, "bad_price"),
        (2, 1e300, "magnitude"),
        (2, 1e-300, "magnitude"),
        (3, -1, "magnitude"),
        (3, MAX_NOTIONAL_MICRO_USD + 1, "magnitude"),
        (5, -1, "bad_quantity"),
        (5, 0, "bad_quantity"),
        (6, -1, "bad_quantity"),
        (6, UNITS_PER_BASE, "bad_quantity"),
        (7, 3, "bad_side"),
        (7, Kind.LIQUIDATION << 2, "bad_side"),
        (1, LATEST_US, None),
        (1, MIN_TIME_US, None),
        (3, MAX_NOTIONAL_MICRO_USD, None),
        (7, 0, None),
        (7, 0b11100001, None),
        (7, 0b11100011, "bad_side"),
        (7, Kind.LIQUIDATION << 2 | Side.SELL | 0b10000, None),
    ],
)
def test_what_is_no_possible_trade(at: int, value: Any, reason: str | None) -> None:
    """One field of a good row replaced."""
    row: Any = (*GOOD[:at], value, *GOOD[at + 1 :])
    refusal = refusal_of(row, LATEST_US)
    assert (refusal[0] if refusal else None) == reason


def near(low: Decimal, high: Decimal) -> st.SearchStrategy[Decimal]:
    """Amounts of every magnitude from below ``low`` to above ``high``, the two among them."""
    exponents = st.integers(low.adjusted() - 1, high.adjusted() + 1)
    digits = st.integers(1, 10**18)
    return st.sampled_from([low, high]) | st.builds(lambda d, e: Decimal(d).scaleb(e - 17), digits, exponents)


@given(
    near(MIN_PRICE, MAX_PRICE),
    near(Decimal("1e-14"), MAX_QUANTITY),
    st.sampled_from([MIN_TIME_US - 1, MIN_TIME_US, MAX_TIME_US - 1, MAX_TIME_US]),
    st.sampled_from(Side),
    st.sampled_from(Kind),
    st.sampled_from([linear, inverse]),
)
def test_what_a_producer_may_send_no_worker_refuses(
    price: Decimal, quantity: Decimal, time_us: int, side: Side, kind: Kind, notional: Notional
) -> None:
    """Both gates know the same trades, one as decimals and one as integers."""
    product = Product(SPOT_KIND, notional)
    try:
        frame = encode_frame("v", BTC, [Trade("v", BTC, 1, side, kind, price, quantity, time_us, product)], 1)
    except BadRecord:
        return
    (row,) = rows_of(decode_frame(frame))
    assert refusal_of(row, MAX_TIME_US) is None


def test_a_pane_that_is_full_refuses_and_goes_on() -> None:
    """An overflow is told, never silent; smaller trades still fit."""
    market = Market("v", BTC, SPAN)
    pane = market.open_pane(NOON)
    assert pane is not None
    pane.notional = 2**62 - 150_000_000
    evaluator = Evaluator(RULES, window=SPAN.window, cooldown=10, max_future_us=0)
    trades = message_of([worth(100, 1), worth(100, 2), worth(20, 3)])
    outcome = evaluator.fold(market, trades, message_us=LATEST_US, partition=0, offset=0)
    assert [(refusal.at, refusal.reason) for refusal in outcome.refused] == [(1, "magnitude")]
    assert outcome.counted == 2
    assert pane.notional == 2**62 - 30_000_000


def test_wide_ids_need_a_futures_market() -> None:
    """The two kinds of ids never meet in one pane."""
    assert message_of([future(1)]).symbol == PERPETUAL
    assert isinstance(message_of([future(1)]).rows[0][0], bytes)
    assert isinstance(message_of([spot(1)]).rows[0][0], int)
