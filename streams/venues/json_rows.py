"""Trades that others publish as JSON, one row per message: which venue a row belongs to, by its fields."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from streams.errors import BadRecord
from streams.model.kinds import MAX_NAME
from streams.model.trade import Trade
from streams.venues.asking import row_of
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON, mark_constants

VENUE: Final = "venue"


def recognised(venues: Iterable[Venue], fields: Collection[str]) -> Venue | None:
    """Return the venue that recognises the most of these fields, the first of several; None where none does."""
    best = max(venues, key=lambda venue: len({*venue.row_fields} & {*fields}), default=None)
    return best if best is not None and {*best.row_fields} & {*fields} else None


class RowReader:
    """Gives each row to its venue, which reads it.

    A row that has a field ``venue`` goes to the venue of that name. Any other goes to the venue that recognises the
    most of its fields; of two that recognise as many, to the first.
    """

    def __init__(self, venues: Iterable[Venue]) -> None:
        self._venues = {venue.name: venue for venue in venues if venue.row_fields}
        names = {name for venue in self._venues.values() for name in venue.row_fields} | {VENUE}
        # A name of JSON need not be one of Python.
        attributes = {name: f"field_{number}" for number, name in enumerate(sorted(names))}
        # Only the names of the fields matter here, so their values are not decoded.
        found = msgspec.defstruct(
            "FoundFields",
            [(attribute, msgspec.Raw, msgspec.Raw()) for attribute in attributes.values()],
            rename={attribute: name for name, attribute in attributes.items()},
        )
        self._decoder = msgspec.json.Decoder(found)
        self._named = attributes[VENUE]
        self._recognised = [(venue, [attributes[name] for name in venue.row_fields]) for venue in self._venues.values()]

    def read(self, row: bytes) -> Trade:
        """Return the trade that a row describes. Raises :class:`BadRecord`."""
        fields = self._fields(row)
        if named := getattr(fields, self._named):
            return row_of(self._of_name(named), row)
        best, most = None, 0
        for venue, attributes in self._recognised:
            count = 0
            for attribute in attributes:
                if getattr(fields, attribute):
                    count += 1
            if count > most:
                best, most = venue, count
        if best is None:
            known = "; ".join(f"{name}: {', '.join(venue.row_fields)}" for name, venue in self._venues.items())
            raise BadRecord("missing_field", f"no venue has rows without all of these fields ({known})")
        return row_of(best, row)

    def _fields(self, row: bytes) -> Any:
        try:
            return self._decoder.decode(row)
        except msgspec.ValidationError as error:
            raise BadRecord("wrong_type", str(error)) from None
        except BAD_JSON as error:
            marked = mark_constants(row)
            if marked == row:
                raise BadRecord("not_json", str(error)) from None
        return self._fields(marked)

    def _of_name(self, named: msgspec.Raw) -> Venue:
        try:
            name = msgspec.json.decode(named, type=str)
        except BAD_JSON as error:
            raise BadRecord("wrong_type", f"venue: {error}") from None
        venue = self._venues.get(name)
        if venue is None:
            known = ", ".join(self._venues)
            raise BadRecord("unknown_venue", f"no venue {name[:MAX_NAME]!r} with rows is known here, only {known}")
        return venue
