"""The sums of a market's blocks as stored, so that a worker which takes it over need not add up every pane anew. Pure.

They stand under a key of their own. It is written when a block is new, about every four minutes, and only where the
sums are known already. What is stored of a block names the offset of each of its chunks. It counts only while all of
them are still the same: a chunk that was written since, by whatever release, has another.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from streams.errors import UNREADABLE
from tables.market.chunk import Chunk
from tables.market.panes import Pane
from tables.market.pieces import BLOCK_CHUNKS, Piece

SUMS: Final = "sums"
"""The last part of their key."""

_SQUARE_BYTES: Final = 40
"""Squared returns of a block: 256 times less than 2**12, in units of 2**-160, take 180 bits."""


class _StoredBlock(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    offsets: list[int | None]
    total: Pane
    first_close: float
    squares: bytes


class _StoredSums(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    offset: int
    blocks: dict[int, _StoredBlock]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_StoredSums)


def encode_sums(offset: int, blocks: Mapping[int, Piece], chunks: Mapping[int, Chunk]) -> bytes:
    """Return the sums of these blocks as stored, with the source offset that the market's state contains."""
    stored = {
        number: _StoredBlock(
            _offsets(number, chunks),
            piece.total,
            piece.first_close,
            piece.squares.to_bytes(_SQUARE_BYTES, "little").rstrip(b"\0"),
        )
        for number, piece in blocks.items()
    }
    return _encoder.encode(_StoredSums(offset, stored))


def decode_sums(values: Iterable[bytes], chunks: Mapping[int, Chunk]) -> dict[int, Piece]:
    """Return those sums that are still true of these chunks. What cannot be read is left out: it is added up anew."""
    found = {}
    for value in values:
        try:
            stored = _decoder.decode(value).blocks
        except UNREADABLE:
            continue
        for number, block in stored.items():
            if block.offsets == _offsets(number, chunks):
                found[number] = Piece(block.total, block.first_close, int.from_bytes(block.squares, "little"))
    return found


def _offsets(number: int, chunks: Mapping[int, Chunk]) -> list[int | None]:
    first = number * BLOCK_CHUNKS
    return [chunks[at].offset if at in chunks else None for at in range(first, first + BLOCK_CHUNKS)]
