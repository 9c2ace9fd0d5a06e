"""What lines of JSON in a recording mean: pages of Kraken's REST calls, and socket messages of any venue.

No I/O: lines go in, batches come out. A row that cannot be used becomes a reject with its bytes; no other row is lost.
"""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import numpy as np

from streams.errors import BadRecord
from streams.model.kinds import MAX_NAME
from streams.model.trade import Batch, Reject
from streams.venues.asking import message_of
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON
from streams.venues.recording.lines import Chunk, reject
from streams.venues.recording.message_columns import MessageReader
from streams.venues.recording.pages import HISTORY, Keys, Pages, is_page
from streams.venues.recording.times import seconds_to_us

# Reading a line alone after it was no plain message costs about a tenth more than reading it alone at once.
_ODD_SHARE: Final = 2


class JsonFormat:
    """Lines of JSON: REST pages, bare socket messages, or ``{"received": unix seconds, "frame": message}``.

    Messages of all venues may be mixed. Beside ``frame``, a key ``venue`` names the venue of a message. Any other
    message goes to the venue that recognises the most of its keys; of two that recognise as many, to the first.

    ``venues`` are the venues by their own names, each called as the recording is. ``pages`` reads REST pages.
    """

    def __init__(self, name: str, venues: Mapping[str, Venue], pages: Pages) -> None:
        self._name = name
        self._venues = venues
        self._pages = pages
        recognised = {
            name: self._venue_of(
                dict.fromkeys((*(mark for mark, _ in venue.plain_message.marks), venue.plain_message.rows))
            )
            for name, venue in venues.items()
            if venue.plain_message is not None
        }
        self._messages = MessageReader(venues, recognised)

    def knows(self, keys: Keys) -> bool:
        """Whether a line with these keys belongs into a recording at all."""
        return "frame" in keys or HISTORY in keys or is_page(keys) or self._venue_of(keys) is not None

    def read(self, chunk: Chunk) -> list[Batch]:
        """Return a batch for each line that holds trades or rejects."""
        return self._read(chunk, together=False)

    def _read(self, chunk: Chunk, *, together: bool) -> list[Batch]:
        batches = []
        for number, line in zip(chunk.numbers(), chunk.lines, strict=True):
            if not line.strip():
                continue
            try:
                batch = self._line(line, together=together)
            except BadRecord as error:
                batch = Batch([], 0, [reject(error.reason, error.detail, line, self._name)])
            if batch.rejects:
                batch = msgspec.structs.replace(batch, rejects=[_at(number, bad) for bad in batch.rejects])
            if batch.trades or batch.rejects:
                batches.append(batch)
        return batches

    def read_together(self, chunk: Chunk) -> list[Batch]:
        """Return the same, plain messages and pages in columns."""
        found = self._messages.read(chunk.lines)
        if found is None or int(found.is_odd.sum()) * _ODD_SHARE > len(chunk.lines):
            return self._read(chunk, together=True)
        batches: list[Batch] = []
        start = 0
        for at, number in enumerate(chunk.numbers()):
            if not found.is_odd[at]:
                continue
            alone = self._read(Chunk([chunk.lines[at]], number, chunk.step, chunk.row + at), together=True)
            if alone:
                end = int(np.searchsorted(found.line, at))
                batches += [Batch(found.trades[start:end], 0), *alone]
                start = end
        batches.append(Batch(found.trades[start:], 0))
        return [batch for batch in batches if batch.trades or batch.rejects]

    def _line(self, line: bytes, *, together: bool) -> Batch:
        keys = decode_keys(line)
        if HISTORY in keys or is_page(keys):
            return self._pages.read(keys, together=together)
        if "frame" not in keys:
            return self._message(line, self._venue_of(keys), 0)
        received_us = _received(bytes(keys["received"])) if "received" in keys else 0
        message = bytes(keys["frame"])
        if message.startswith(b'"'):  # recorded as the text of the message, not as the message
            message = _text(message)
        venue = self._named(keys["venue"]) if "venue" in keys else self._venue_of(decode_keys(message))
        return self._message(message, venue, received_us)

    def _named(self, name: msgspec.Raw) -> Venue:
        try:
            text = msgspec.json.decode(name, type=str)
        except BAD_JSON as error:
            raise BadRecord("wrong_type", f"venue: {error}") from None
        venue = self._venues.get(text)
        if venue is None:
            raise BadRecord(
                "unknown_venue", f"no venue {text[:MAX_NAME]!r} is known here, only {', '.join(self._venues)}"
            )
        return venue

    def _venue_of(self, keys: Collection[str]) -> Venue | None:
        def recognised(venue: Venue) -> int:
            return sum(field in keys for field in venue.message_fields)

        best = max(self._venues.values(), key=recognised)
        return best if recognised(best) else None

    def _message(self, message: bytes, venue: Venue | None, received_us: int) -> Batch:
        if venue is None:
            known = "; ".join(f"{name}: {', '.join(one.message_fields)}" for name, one in self._venues.items())
            raise BadRecord("missing_field", f"no venue has messages without all of these keys ({known})")
        parsed = message_of(venue, message)
        rejects = [reject(bad.reason, bad.detail, bad.payload, bad.venue, bad.symbol) for bad in parsed.rejects]
        return Batch(parsed.trades, received_us, rejects)


def _text(quoted: bytes) -> bytes:
    try:
        return msgspec.json.decode(quoted, type=str).encode()
    except BAD_JSON as error:
        raise BadRecord("not_json", f"frame: {error}") from None


_keys: Final = msgspec.json.Decoder(Keys)


def decode_keys(line: bytes) -> Keys:
    """Return the keys of a line of JSON with their values unread. Raises :class:`BadRecord` if it is no JSON object."""
    try:
        return _keys.decode(line)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None


def _at(number: int, bad: Reject) -> Reject:
    return msgspec.structs.replace(bad, detail=f"line {number}: {bad.detail}")


def _received(text: bytes) -> int:
    try:
        return seconds_to_us(text.decode("latin-1"))
    except ValueError as error:
        raise BadRecord("bad_time", f"received: {error}") from None
