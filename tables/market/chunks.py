"""How a market's state is laid out in the table: one head, and panes in a fixed ring of chunks.

Keys are ``venue|symbol|head`` and ``venue|symbol|<slot>``; the slot of a chunk is its number modulo the ring's size,
so a market never has more keys than the ring has slots and nothing needs to expire. Values carry the source offset
they contain: owners of a partition apply the same log in the same order, so of two values the one with the higher
offset contains the other.
"""

from typing import Final

import msgspec

from streams.errors import MonitorError
from streams.model.kinds import MarketKind
from tables.market.episodes import Mark
from tables.market.panes import Pane

CHUNK_PANES: Final = 32
"""Panes in one chunk: a flush writes the chunks touched, so small enough to write every second, large enough that an
hour is about a hundred keys."""

HEAD: Final = "head"
KIND: Final = "kind"


class Chunk(msgspec.Struct, array_like=True):
    """Panes ``number * CHUNK_PANES`` to ``(number + 1) * CHUNK_PANES - 1``; ``None`` where no trade fell."""

    offset: int
    number: int
    panes: list[Pane | None]


class Head(msgspec.Struct, array_like=True):
    """What a market remembers besides panes: its clock (``watermark``, the greatest pane seen) and alerts by rule.

    ``chunks`` are the numbers of those written behind it: where one is older than the head, the flush was cut short.
    ``more`` holds named additions: ``kind``, the market's :class:`MarketKind`, where the symbol does not say it.
    ``format`` and ``more`` are left out while they are 1 and empty.
    """

    offset: int
    watermark: int
    marks: dict[str, list[Mark]]
    chunks: list[int] = []
    format: int = 1
    more: dict[str, msgspec.Raw] = {}


class CorruptState(MonitorError):
    """A stored value cannot be read: its key is named; the store must be rebuilt from the changelog."""


_encoder: Final = msgspec.msgpack.Encoder()
_chunk_decoder: Final = msgspec.msgpack.Decoder(Chunk)
_head_decoder: Final = msgspec.msgpack.Decoder(Head)
_kind_decoder: Final = msgspec.msgpack.Decoder(MarketKind)
_offset_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def prefix(venue: str, symbol: str) -> bytes:
    """Return what all keys of a market begin with."""
    return f"{venue}|{symbol}|".encode()


def head_key(venue: str, symbol: str) -> bytes:
    """Return the key of a market's head."""
    return f"{venue}|{symbol}|{HEAD}".encode()


def chunk_key(venue: str, symbol: str, slot: int) -> bytes:
    """Return the key of a market's ring slot."""
    return f"{venue}|{symbol}|{slot}".encode()


def market_of(key: bytes) -> tuple[str, str]:
    """Return (venue, symbol) of any key."""
    venue, symbol, _ = key.decode().rsplit("|", 2)
    return venue, symbol


def encode(value: Chunk | Head) -> bytes:
    """Return a value as stored and as sent to the changelog."""
    if isinstance(value, Head) and value.format == 1 and not value.more:
        return _encoder.encode((value.offset, value.watermark, value.marks, value.chunks))
    return _encoder.encode(value)


def decode_chunk(key: bytes, value: bytes) -> Chunk:
    """Read a chunk. Raises :class:`CorruptState`."""
    try:
        return _chunk_decoder.decode(value)
    except msgspec.DecodeError as error:
        raise CorruptState(f"the value of {key!r} is no chunk: {error}") from None


def decode_head(key: bytes, value: bytes) -> Head:
    """Read a head. Raises :class:`CorruptState`."""
    try:
        head = _head_decoder.decode(value)
        if KIND in head.more:
            _kind_decoder.decode(head.more[KIND])
    except msgspec.DecodeError as error:
        raise CorruptState(f"the value of {key!r} is no head: {error}") from None
    return head


def named_kind(head: Head) -> MarketKind | None:
    """Return the kind of market that a head names, None where it names none."""
    return _kind_decoder.decode(head.more[KIND]) if KIND in head.more else None


def naming(more: dict[str, msgspec.Raw], kind: MarketKind) -> dict[str, msgspec.Raw]:
    """Return a head's named additions with the kind of market among them."""
    return more if KIND in more else {**more, KIND: msgspec.Raw(_encoder.encode(kind))}


def offset_of(value: bytes) -> int:
    """Return the source offset a stored value contains, without reading the rest of it."""
    return int(msgspec.msgpack.decode(_offset_decoder.decode(value)[0], type=int))


def shifted(value: bytes, by: int) -> bytes:
    """Return a stored value with its source offset moved, its order among others so moved kept."""
    fields = _offset_decoder.decode(value)
    return _encoder.encode([msgspec.Raw(_encoder.encode(offset_of(value) + by)), *fields[1:]])
