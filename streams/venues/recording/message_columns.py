"""Recorded socket messages as columns: those whose rows are all plain. Any other is read alone. No I/O."""

from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Final, Literal, NamedTuple, Protocol, cast

import msgspec
import numpy as np

from streams.model.decimals import Integers, Marks
from streams.model.plain_trades import PlainTrades
from streams.model.trade import Trade
from streams.venues.asking import message_of
from streams.venues.base import PlainMessage, Venue
from streams.venues.json_text import BAD_JSON
from streams.venues.plain_rows import PlainRow, Symbols, are_long, columns_of, row_struct, speaks_of
from streams.venues.recording.times import seconds_to_us


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    received: msgspec.Raw
    frame: msgspec.Raw


_envelope: Final = msgspec.json.Decoder(_Envelope)


class PlainMessages(NamedTuple):
    """What lines hold. ``line`` is each trade's line, ascending; ``is_odd`` marks lines that must be read alone."""

    trades: PlainTrades
    line: Integers
    is_odd: Marks


class MessageReader:
    """Reads plain messages of the first of these venues that has such. ``recognises`` says who takes each one's."""

    def __init__(self, venues: Mapping[str, Venue], recognises: Mapping[str, Venue | None]) -> None:
        self._venue: Venue | None = None
        for name, venue in venues.items():
            fields, message = venue.plain_fields, venue.plain_message
            speaks = speaks_of(venue, "plain_message", "read_message") and speaks_of(venue, "plain_fields", "read_row")
            if fields is not None and message is not None and speaks and recognises.get(name) is venue:
                self._venue = venue
                self._decode = msgspec.json.Decoder(_struct(message, row_struct(fields, ()))).decode
                return

    def read(self, lines: Sequence[bytes]) -> PlainMessages | None:
        """Return what the plain ones of these lines hold, None where none is. Raises nothing."""
        if self._venue is None:
            return None
        received, frames = _unpacked(lines)
        found: list[PlainRow] = []
        counts = np.zeros(len(lines), np.int64)
        is_odd = np.ones(len(lines), np.bool_)
        has_long = are_long(frames.values())
        for at, frame in frames.items():
            if has_long and are_long((frame,)):
                continue
            try:
                rows = self._decode(frame).rows
            except BAD_JSON:
                continue
            found += rows
            counts[at], is_odd[at] = len(rows), not rows
        if not found:
            return None
        line = np.repeat(np.arange(len(lines)), counts)
        venue = self._venue
        plain = columns_of(Symbols(venue), found, np.arange(len(found)))
        if len(plain.places) < len(found):
            is_plain = np.zeros(len(found), np.bool_)
            is_plain[plain.places] = True
            is_odd[line[~is_plain]] = True
            plain = plain.taken(~is_odd[line[plain.places]])
        left = line[plain.places]
        received_us = np.array([received[at] for at in left.tolist()], np.int64) if received else None

        def make(place: int) -> Trade:
            at = int(line[place])
            return message_of(venue, frames[at]).trades[place - int(np.searchsorted(line, at))]

        return PlainMessages(PlainTrades(plain, make, received_us), left, is_odd)


def _unpacked(lines: Sequence[bytes]) -> tuple[dict[int, int], dict[int, bytes]]:
    """Return when messages were received, if they say so, and the messages, both by their lines.

    Lines are bare messages, or all with the time of receipt: those that are otherwise than the first are left out.
    """
    received: dict[int, int] = {}
    frames: dict[int, bytes] = {}
    for at, line in enumerate(lines):
        try:
            envelope = _envelope.decode(line)
            received_us = seconds_to_us(bytes(envelope.received).decode("latin-1"))
        except (ValueError, *BAD_JSON):
            if at and received:
                continue
            return {}, dict(enumerate(lines))
        if received_us:
            received[at], frames[at] = received_us, bytes(envelope.frame)
    return received, frames


class _Message(Protocol):
    """A decoded message."""

    rows: list[PlainRow]


def _struct(message: PlainMessage, row: type[PlainRow]) -> type[_Message]:
    marks = [(f"mark_{number}", Literal[value]) for number, (_, value) in enumerate(message.marks)]
    names = {f"mark_{number}": name for number, (name, _) in enumerate(message.marks)} | {"rows": message.rows}
    fields = [*marks, ("rows", GenericAlias(list, (row,)))]
    made = msgspec.defstruct("PlainMessage", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return cast("type[_Message]", made)
