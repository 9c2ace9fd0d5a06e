"""How a market's state is laid out in the table: one head, and panes in a fixed ring of chunks.

Keys are ``venue|symbol|head`` and ``venue|symbol|<slot>``. The slot of a chunk is its number modulo the ring's size. So
a market never has more keys than the ring has slots, and nothing needs to expire. A key that ends in anything else
belongs to a later release: it stays in the store, unread.

Values are msgpack arrays and begin with the source offset that they contain. Owners of a partition apply the same log
in the same order, so of two values the one with the higher offset contains the other.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from streams.errors import UNREADABLE, MonitorError
from streams.model.kinds import MarketKind
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.coverage import SINCE, SINCE_ITEMS, since_of
from tables.market.episodes import Mark
from tables.market.formats import (
    FORMAT,
    NO_TAIL,
    Format,
    Tail,
    longer_addition,
    longer_rows,
    newer_format,
    tail_of,
)
from tables.market.liveness import QUIET, naming_quiet, quiet_of
from tables.market.panes import Pane

HEAD: Final = "head"
KIND: Final = "kind"
CLOSING: Final = "closing"
"""What a market's head adds where a rule waits for panes to be over.

It holds whether the newest pane has a live trade, and how far panes were judged. That is told as messages from the
head's offset, and rows of the message behind those.
"""

_ADDITIONS: Final = {KIND: 3, CLOSING: 3, SINCE: SINCE_ITEMS}
"""How many items each addition of this release has."""


class Head(msgspec.Struct):
    """What a market remembers besides panes: its clock (``watermark``, the greatest pane seen) and alerts by rule.

    ``chunks`` are the numbers of those written behind it: where one is older than the head, the flush was cut short.
    Additions in ``tail`` are ``kind``, the market's :class:`MarketKind` where the symbol does not say it,
    :data:`CLOSING`, and since when panes are all there (:mod:`tables.market.coverage`).
    """

    offset: int
    watermark: int
    marks: dict[str, list[Mark]]
    chunks: list[int] = []
    tail: Tail = NO_TAIL


class CorruptState(MonitorError):
    """A stored value cannot be read: its key is named; the store must be rebuilt from the changelog."""


class _StoredChunk(msgspec.Struct, array_like=True):
    """A chunk on the wire. ``beyond`` is the first field that this release does not know."""

    offset: int
    number: int
    panes: list[Pane | None]
    format: Format = 1
    more: dict[str, Raw] | None = None
    beyond: Raw = Raw()


class _StoredHead(msgspec.Struct, array_like=True):
    """A head on the wire. ``beyond`` is the first field that this release does not know."""

    offset: int
    watermark: int
    marks: dict[str, list[Mark]]
    chunks: list[int] = []
    format: Format = 1
    more: dict[str, Raw] | None = None
    beyond: Raw = Raw()


_CHUNK_FIELDS: Final = len(_StoredChunk.__struct_fields__) - 3
_HEAD_FIELDS: Final = len(_StoredHead.__struct_fields__) - 3

_encoder: Final = msgspec.msgpack.Encoder()
_chunk_decoder: Final = msgspec.msgpack.Decoder(_StoredChunk)
_head_decoder: Final = msgspec.msgpack.Decoder(_StoredHead)
_kind_decoder: Final = msgspec.msgpack.Decoder(MarketKind)
_closing_decoder: Final = msgspec.msgpack.Decoder(tuple[bool, int, int])
_offset_decoder: Final = msgspec.msgpack.Decoder(list[Raw])


def prefix(venue: str, symbol: str) -> bytes:
    """Return what all keys of a market begin with."""
    return f"{venue}|{symbol}|".encode()


def head_key(venue: str, symbol: str) -> bytes:
    """Return the key of a market's head."""
    return f"{venue}|{symbol}|{HEAD}".encode()


def chunk_key(venue: str, symbol: str, slot: int) -> bytes:
    """Return the key of a market's ring slot."""
    return f"{venue}|{symbol}|{slot}".encode()


def split_key(key: bytes) -> tuple[str, str]:
    """Return a key's market, ``venue|symbol``, and its last part. For a key of no market: ``""`` and the whole key.

    What is no UTF-8 is of no market: a later release may have such keys, which stay as they are.
    """
    try:
        venue, bar, rest = key.decode().partition("|")
    except UnicodeDecodeError:
        return "", key.decode(errors="surrogateescape")
    symbol, second_bar, part = rest.partition("|")
    return (f"{venue}|{symbol}", part) if second_bar else ("", f"{venue}{bar}{rest}")


def market_of(key: bytes) -> tuple[str, str]:
    """Return (venue, symbol) of any key of a market."""
    venue, symbol, _ = key.decode().split("|", 2)
    return venue, symbol


def markets_of(keys: Iterable[bytes]) -> set[tuple[str, str]]:
    """Return (venue, symbol) of every market that one of these keys is of."""
    return {market_of(key) for key in keys if split_key(key)[0]}


def encode(value: Chunk | Head) -> bytes:
    """Return a value as stored and as sent to the changelog."""
    fields: list[object]
    tail = value.tail
    if isinstance(value, Chunk):
        fields = [value.offset, value.number, value.stored_panes]
        if value.quiet:
            tail = tail.adding(naming_quiet(value))
    else:
        fields = [value.offset, value.watermark, value.marks, value.chunks]
    if tail is not NO_TAIL:
        fields += tail.fields()
    return _encoder.encode(fields)


def decode_chunk(key: bytes, value: bytes) -> Chunk:
    """Read a chunk. Raises :class:`CorruptState`, and :class:`~tables.market.formats.NewerState`."""
    try:
        found = _chunk_decoder.decode(value)
        quiet = quiet_of(found.more or {}, found.panes)
    except UNREADABLE as error:
        newer = newer_format(key, value, _CHUNK_FIELDS) or longer_rows(
            key, value, _pane_lengths, len(Pane.__struct_fields__), "panes"
        )
        raise newer or CorruptState(f"the value of {key!r} is no chunk: {error}") from None
    if found.format > FORMAT and (newer := newer_format(key, value, _CHUNK_FIELDS)):
        raise newer
    if len(found.panes) != CHUNK_PANES:
        raise CorruptState(f"the value of {key!r} is no chunk: it has {len(found.panes)} panes, not {CHUNK_PANES}")
    is_plain = found.more is None and not found.beyond
    tail = NO_TAIL if is_plain else tail_of(value, _CHUNK_FIELDS, found.more).without(QUIET)
    return Chunk(found.offset, found.number, found.panes, tail, quiet)


def decode_head(key: bytes, value: bytes) -> Head:
    """Read a head. Raises :class:`CorruptState`, and :class:`~tables.market.formats.NewerState`."""
    try:
        found = _head_decoder.decode(value)
        additions = found.more or {}
        lengths = {name: len(_offset_decoder.decode(additions[name])) for name in _ADDITIONS if name in additions}
        if KIND in additions:
            _kind_decoder.decode(additions[KIND])
        if CLOSING in lengths and lengths[CLOSING] <= _ADDITIONS[CLOSING]:
            _closing_decoder.decode(additions[CLOSING])
        if lengths.get(SINCE, SINCE_ITEMS) <= SINCE_ITEMS:
            since_of(additions)
    except UNREADABLE as error:
        newer = newer_format(key, value, _HEAD_FIELDS) or longer_rows(
            key, value, _mark_lengths, len(Mark.__struct_fields__), "marks"
        )
        raise newer or CorruptState(f"the value of {key!r} is no head: {error}") from None
    if found.format > FORMAT and (newer := newer_format(key, value, _HEAD_FIELDS)):
        raise newer
    for name, length in lengths.items():
        if length > _ADDITIONS[name]:
            raise longer_addition(key, name, length, _ADDITIONS[name])
    is_plain = found.more is None and not found.beyond
    tail = NO_TAIL if is_plain else tail_of(value, _HEAD_FIELDS, found.more)
    return Head(found.offset, found.watermark, found.marks, found.chunks, tail)


def named_kind(head: Head) -> MarketKind | None:
    """Return the kind of market that a head names, None where it names none."""
    return _kind_decoder.decode(head.tail.more[KIND]) if KIND in head.tail.more else None


def closing_of(head: Head) -> tuple[bool, int, int] | None:
    """Return what a head adds for rules that wait for panes (:data:`CLOSING`), None where it adds nothing."""
    return _closing_decoder.decode(head.tail.more[CLOSING]) if CLOSING in head.tail.more else None


def closing(*, is_live: bool, messages: int, row: int) -> dict[str, Raw]:
    """Return what a head adds for rules that wait for panes."""
    return {CLOSING: Raw(_encoder.encode((is_live, messages, row)))}


def naming(kind: MarketKind) -> dict[str, Raw]:
    """Return what a head adds to name a kind of market."""
    return {KIND: Raw(_encoder.encode(kind))}


def _pane_lengths(fields: list[Raw]) -> list[int]:
    panes = msgspec.msgpack.decode(fields[2], type=list[list[Raw] | None])
    return [len(pane) for pane in panes if pane is not None]


def _mark_lengths(fields: list[Raw]) -> list[int]:
    marks = msgspec.msgpack.decode(fields[2], type=dict[str, list[list[Raw]]])
    return [len(mark) for of_rule in marks.values() for mark in of_rule]


def offset_of(value: bytes) -> int:
    """Return the source offset a stored value contains, without reading the rest of it."""
    return int(msgspec.msgpack.decode(_offset_decoder.decode(value)[0], type=int))


def known_offset(value: bytes) -> int | None:
    """Return the source offset that a value contains, None for bytes that are no value of any release."""
    try:
        return offset_of(value)
    except (*UNREADABLE, IndexError):
        return None


def shifted(value: bytes, by: int) -> bytes:
    """Return a stored value with its source offset moved, its order among others so moved kept."""
    fields = _offset_decoder.decode(value)
    return _encoder.encode([Raw(_encoder.encode(offset_of(value) + by)), *fields[1:]])
