"""What the times in a recording mean: seconds to nanoseconds since 1970, or dates with their zone. No I/O.

None of them passes through a float. Digits beyond the microsecond are cut off.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final

from streams.model.products import EXACT
from streams.model.trade import MAX_TIME_US, MIN_TIME_US

MICROS: Final = 1_000_000
# With an exponent too: spreadsheets print 1.7E+09.
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
# The year 2100 in nanoseconds has 19 digits. A power beyond would be computed in full.
_MAX_DIGITS: Final = 24
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)", re.IGNORECASE)
_DATE_WITHOUT_ZONE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Unit(Enum):
    """What a number in a column of times counts. ``value`` is the power of ten that makes it microseconds."""

    SECONDS = 6
    MILLISECONDS = 3
    MICROSECONDS = 0
    NANOSECONDS = -3
    DATE = 99  # text, not a number


def seconds_to_us(text: str) -> int:
    """Return unix seconds, possibly fractional, as whole microseconds. Raises :class:`ValueError` for anything else."""
    whole, dot, fraction = text.strip().partition(".")
    if not (whole.isdigit() and whole.isascii()) or (dot and not (fraction.isdigit() and fraction.isascii())):
        return _exact(text, Unit.SECONDS)
    return int(whole) * MICROS + int((fraction + "000000")[:6])


def milliseconds_to_us(text: str) -> int:
    """Return unix milliseconds as whole microseconds. Raises :class:`ValueError` for anything else."""
    if text.isdigit() and text.isascii():
        return int(text) * 1000
    return _exact(text, Unit.MILLISECONDS)


def date_to_us(text: str) -> int:
    """Return a date with its zone (RFC 3339) as microseconds since 1970. Raises :class:`ValueError`."""
    stripped = text.strip()
    if not _DATE.fullmatch(stripped):
        if _DATE_WITHOUT_ZONE.fullmatch(stripped):
            raise ValueError(f"{stripped[:40]!r} has no time zone: write it with Z at its end if it is UTC")
        raise ValueError(f"{stripped[:40]!r} is no date")
    return (datetime.fromisoformat(stripped.upper()) - _EPOCH) // timedelta(microseconds=1)


def reader_of(unit: Unit) -> Callable[[str], int]:
    """Return what turns a text in this unit into microseconds since 1970; it raises :class:`ValueError`."""
    if unit is Unit.SECONDS:
        return seconds_to_us
    if unit is Unit.MILLISECONDS:
        return milliseconds_to_us
    if unit is Unit.DATE:
        return date_to_us
    return lambda text: _exact(text, unit)


def unit_of(texts: Iterable[str]) -> Unit | None:
    """Return the unit in which most of these texts are times between 2009 and 2100, None where none is.

    No two units share a number in that span.
    """
    votes = Counter(found for text in texts if (found := _unit_of(text)) is not None)
    return votes.most_common(1)[0][0] if votes else None


def _unit_of(text: str) -> Unit | None:
    if _DATE_WITHOUT_ZONE.fullmatch(text.strip()):
        return Unit.DATE
    for unit in (Unit.SECONDS, Unit.MILLISECONDS, Unit.MICROSECONDS, Unit.NANOSECONDS):
        try:
            if MIN_TIME_US <= _exact(text, unit) < MAX_TIME_US:
                return unit
        except ValueError:
            return None
    return None


def _exact(text: str, unit: Unit) -> int:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        number = Decimal(stripped)
        if number.adjusted() < _MAX_DIGITS:
            return int(EXACT.scaleb(number, unit.value))
    raise ValueError(f"{stripped[:40]!r} is no time in {unit.name.lower()}")
