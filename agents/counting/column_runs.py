"""The trades of a frame as runs of one pane, summed column by column where that is exact. Pure.

A large frame costs about a tenth of a microsecond per trade this way. One of 20 trades costs half of what its rows cost
one by one. What columns cannot decide at a glance is left to its rows: ids with holes, times out of order,
liquidations, blocks, impossible values.
"""

from array import array
from bisect import bisect_left
from math import isfinite
from operator import or_
from typing import Final, NamedTuple

import numpy as np

from streams.model.amounts import MAX_NOTIONAL_MICRO_USD, UNITS_PER_BASE
from streams.model.frames import KIND_MASK, MAX_FRAME_TRADES, SIDE_MASK, SNAPSHOT, Frame
from streams.model.trade import MAX_PRICE, MAX_TIME_US, MIN_PRICE, MIN_TIME_US, Side
from tables.market.panes import Pane

# The bounds that producers keep to, as doubles.
_MIN_PRICE: Final = float(MIN_PRICE)
_MAX_PRICE: Final = float(MAX_PRICE)
# An enum member costs three times a plain integer, once per trade.
_BUY: Final = int(Side.BUY)
_SELL: Final = int(Side.SELL)
_KNOWN_FLAGS: Final = np.uint8(SIDE_MASK | KIND_MASK | SNAPSHOT)
# What a later release may say in the bits 5 to 7 is not looked at.
_WITHOUT_LATER: Final = bytes(flag & int(_KNOWN_FLAGS) for flag in range(256))
# The column of the largest frame still sums within 63 bits.
_MAX_COLUMN_QUANTITY: Final = 2**62 // MAX_FRAME_TRADES


class Run(NamedTuple):
    """Consecutive trades of one pane. ``summary`` is their pane without ids, or None: count them row by row.

    ``low_id`` to ``high_id`` are then their ids, without a hole.
    """

    number: int
    start: int
    end: int
    summary: Pane | None = None
    low_id: int = 0
    high_id: int = 0


class Least(NamedTuple):
    """From how many trades on a frame is summed by column, and from how many by numpy."""

    for_columns: int
    for_numpy: int


# The fixed cost of columns, about 9 us a frame, exceeds that of fewer rows. Numpy's calls cost about 50 us a frame.
LEAST: Final = Least(4, 100)


def summed(frame: Frame, pane_us: int, latest_us: int, least: Least = LEAST) -> list[Run] | None:
    """Return runs with summaries, or None where the columns are too few, or not plainly in order and valid.

    A trade later than ``latest_us`` is not valid.
    """
    if len(frame) < least.for_columns or frame.wide_ids:
        return None
    return (_by_numpy if len(frame) >= least.for_numpy else _by_lists)(frame, pane_us, latest_us)


def _by_lists(frame: Frame, pane_us: int, latest_us: int) -> list[Run] | None:  # noqa: PLR0911 - what costs least first
    flags = frame.flags.translate(_WITHOUT_LATER)
    ids, times = array("q", frame.ids).tolist(), array("q", frame.times_us).tolist()
    count, first_id = len(ids), ids[0]
    if max(flags) > _SELL or ids != list(range(first_id, first_id + count)) or times != sorted(times):
        return None
    if times[0] < MIN_TIME_US or times[-1] >= MAX_TIME_US or times[-1] > latest_us:
        return None
    prices = array("d", frame.prices).tolist()
    # The sum tells a NaN anywhere.
    if min(prices) < _MIN_PRICE or max(prices) > _MAX_PRICE or not isfinite(sum(prices)):
        return None
    notionals, rests = array("q", frame.notionals).tolist(), array("i", frame.rests).tolist()
    wholes, fractions = array("q", frame.quantities).tolist(), array("q", frame.fractions).tolist()
    if min(notionals) < 0 or max(notionals) > MAX_NOTIONAL_MICRO_USD:
        return None
    if min(wholes) < 0 or max(wholes) >= _MAX_COLUMN_QUANTITY:
        return None
    if min(fractions) < 0 or max(fractions) >= UNITS_PER_BASE or not all(map(or_, wholes, fractions)):
        return None
    runs, start = [], 0
    while start < count:
        number = times[start] // pane_us
        end = count if times[-1] // pane_us == number else bisect_left(times, (number + 1) * pane_us, start)
        some = slice(start, end)
        amounts, sides = notionals[some], flags[some]
        carried, fraction = divmod(sum(fractions[some]), UNITS_PER_BASE)
        summary = Pane(
            [], end - start, sum(amounts), sum(rests[some]), sum(wholes[some]) + carried, fraction,
            sum([amount for amount, side in zip(amounts, sides, strict=True) if side == _BUY]),
            sum([amount for amount, side in zip(amounts, sides, strict=True) if side == _SELL]),
            0, 0, max(amounts), max(prices[some]), min(prices[some]),
            times[start], ids[start], prices[start], times[end - 1], ids[end - 1], prices[end - 1],
        )  # fmt: skip
        runs.append(Run(number, start, end, summary, ids[start], ids[end - 1]))
        start = end
    return runs


def _by_numpy(frame: Frame, pane_us: int, latest_us: int) -> list[Run] | None:
    """Return runs with summaries, or None where the columns are not plainly in order and valid."""
    ids = np.frombuffer(frame.ids, np.int64)
    times = np.frombuffer(frame.times_us, np.int64)
    prices = np.frombuffer(frame.prices, np.float64)
    notionals = np.frombuffer(frame.notionals, np.int64)
    wholes = np.frombuffer(frame.quantities, np.int64)
    fractions = np.frombuffer(frame.fractions, np.int64)
    # Without what later releases may say in the bits 5 to 7.
    flags = np.frombuffer(frame.flags, np.uint8) & _KNOWN_FLAGS
    count = len(ids)
    if not (
        int(ids[-1]) - int(ids[0]) == count - 1
        and bool((np.diff(ids) == 1).all())
        and bool((np.diff(times) >= 0).all())
        and times[0] >= MIN_TIME_US
        and times[-1] < MAX_TIME_US
        and times[-1] <= latest_us
        and prices.min() >= _MIN_PRICE
        and prices.max() <= _MAX_PRICE
        and notionals.min() >= 0
        and notionals.max() <= MAX_NOTIONAL_MICRO_USD
        and wholes.min() >= 0
        and wholes.max() < _MAX_COLUMN_QUANTITY
        and fractions.min() >= 0
        and fractions.max() < UNITS_PER_BASE
        and bool((wholes + fractions > 0).all())
        and flags.max() <= Side.SELL
    ):
        return None
    numbers = times // pane_us
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    buys = np.where(flags == Side.BUY, notionals, 0)
    sells = np.where(flags == Side.SELL, notionals, 0)
    start_list = starts.tolist()
    ends = [*start_list[1:], count]
    columns = zip(
        start_list,
        ends,
        numbers[starts].tolist(),
        np.add.reduceat(notionals, starts).tolist(),
        np.add.reduceat(np.frombuffer(frame.rests, np.int32).astype(np.int64), starts).tolist(),
        np.add.reduceat(wholes, starts).tolist(),
        np.add.reduceat(fractions, starts).tolist(),
        np.add.reduceat(buys, starts).tolist(),
        np.add.reduceat(sells, starts).tolist(),
        np.maximum.reduceat(notionals, starts).tolist(),
        np.maximum.reduceat(prices, starts).tolist(),
        np.minimum.reduceat(prices, starts).tolist(),
        strict=True,
    )
    first_id = int(ids[0])
    runs = []
    for start, end, number, notional, rest, whole, fraction, buy, sell, largest, high, low in columns:
        carried, fraction_left = divmod(fraction, UNITS_PER_BASE)
        summary = Pane(
            [], end - start, notional, rest, whole + carried, fraction_left, buy, sell, 0, 0, largest, high, low,
            int(times[start]), first_id + start, float(prices[start]),
            int(times[end - 1]), first_id + end - 1, float(prices[end - 1]),
        )  # fmt: skip
        runs.append(Run(number, start, end, summary, first_id + start, first_id + end - 1))
    return runs
