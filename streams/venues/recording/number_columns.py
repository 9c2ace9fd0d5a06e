"""Columns of texts as numbers. What is not written plainly is marked, and read alone. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from streams.model.decimals import MOST_DIGITS, Doubles, Integers, Marks
from streams.model.trade import MAX_TIME_US, MIN_TIME_US
from streams.venues.recording.times import MICROS, Unit, reader_of

# How many of a unit are a microsecond, or the other way round, where its numbers are whole.
_WHOLE_UNITS: Final = {
    Unit.SECONDS: (MICROS, 1),
    Unit.MILLISECONDS: (1000, 1),
    Unit.MICROSECONDS: (1, 1),
    Unit.NANOSECONDS: (1, 1000),
}
_NONE: Final = -1


def doubles(texts: Sequence[str]) -> tuple[Doubles, Marks]:
    """Return the doubles nearest to decimals, and which of them have so few digits that they tell their decimals."""
    count = len(texts)
    try:
        values = np.fromiter(map(float, texts), np.float64, count)
    except ValueError:
        values = np.fromiter((_double(text) for text in texts), np.float64, count)
    lengths = np.fromiter(map(len, texts), np.int64, count)
    is_short = lengths <= MOST_DIGITS
    if not is_short.all():
        for at in np.flatnonzero(~is_short).tolist():
            is_short[at] = sum(map(str.isdecimal, texts[at])) <= MOST_DIGITS
    return values, is_short


def integers(texts: Sequence[str]) -> Integers:
    """Return whole numbers below 2^63 of plain digits; -1 stands for any other text."""
    count = len(texts)
    if "".join(texts).isdecimal() and "" not in texts:
        try:
            return np.fromiter(map(int, texts), np.int64, count)
        except (OverflowError, ValueError):  # beyond 63 bits, or beyond what Python reads
            pass
    return np.fromiter((_integer(text) for text in texts), np.int64, count)


def times_us(texts: Sequence[str], unit: Unit) -> Integers:
    """Return times as microseconds since 1970; 0 stands for what is none, or none that a trade may have."""
    if unit in _WHOLE_UNITS and "".join(texts).isdecimal():
        times, (many, few) = integers(texts), _WHOLE_UNITS[unit]
        is_possible = (times >= MIN_TIME_US // many * few) & (times < MAX_TIME_US // many * few)
        return np.where(is_possible, times, 0) * many // few
    to_us = reader_of(unit)
    return np.fromiter((_time(text, to_us) for text in texts), np.int64, len(texts))


def _double(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _integer(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < len(str(1 << 63)) else _NONE
    return number if number < 1 << 63 else _NONE


def _time(text: str, to_us: Callable[[str], int]) -> int:
    try:
        time_us = to_us(text)
    except ValueError:
        return 0
    return time_us if MIN_TIME_US <= time_us < MAX_TIME_US else 0
