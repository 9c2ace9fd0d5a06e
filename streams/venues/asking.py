"""Venues are asked here: what the code of one raises costs the record it was given, and nothing else."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from streams.errors import BadRecord, BadSetting
from streams.model.products import Product
from streams.model.trade import Trade
from streams.unexpected import say_once
from streams.venues.base import Venue
from streams.venues.parsed import Parsed

log = logging.getLogger(__name__)

Given = TypeVar("Given", bytes, str)
Answer = TypeVar("Answer")


def message_of(venue: Venue, data: bytes) -> Parsed:
    """Return what a message of the venue's socket holds. Raises :class:`BadRecord`, and nothing else."""
    return _asked(venue, venue.read_message, data)


def row_of(venue: Venue, row: bytes) -> Trade:
    """Return the trade of a row of JSON. Raises :class:`BadRecord`, and nothing else."""
    return _asked(venue, venue.read_row, row)


def product_of(venue: Venue, symbol: str) -> Product:
    """Return what the venue says a symbol's trades are. Raises :class:`BadRecord`, and nothing else."""
    return _asked(venue, venue.product_of, symbol)


def countable(venue: Venue, symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols whose trades the venue can count in USD, and log why each other is left out.

    Raises :class:`BadSetting` where none is left of some.
    """
    counted = []
    refusals = []
    for symbol in symbols:
        try:
            product_of(venue, symbol)
        except BadRecord as error:
            refusals.append(error.detail)
            log.warning("%s: not subscribing: %s", venue.name, error.detail)
        else:
            counted.append(symbol)
    if refusals and not counted:
        where = f" in {venue.symbols_setting}" if venue.symbols_setting else ""
        raise BadSetting(f"{venue.name} has nothing to watch{where} ({'; '.join(refusals)}): ask for other symbols")
    return tuple(counted)


def _asked(venue: Venue, question: Callable[[Given], Answer], given: Given) -> Answer:
    try:
        return question(given)
    except BadRecord:
        raise
    except Exception as error:  # noqa: BLE001 - a venue can be anybody's code
        say_once(log, f"the venue {venue.name}", error)
        raise BadRecord("internal_error", f"{venue.name} raised {repr(error)[:120]} for {given[:40]!r}") from None
