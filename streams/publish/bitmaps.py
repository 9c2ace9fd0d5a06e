"""Which ids are in a set of consecutive integers: bits, in chunks of a fixed number of ids.

Pure. Bit 0 of a chunk is the highest bit of its first byte, as Redis counts, so ``GETBIT key (id % 8192)`` reads one.
"""

from collections.abc import Iterable, Sequence
from typing import Final

CHUNK_IDS: Final = 8192
"""Ids in one chunk, a kibibyte: with its key 0.2 bytes an id (measured), and little is wasted on a quiet market."""


def by_chunk(ids: Iterable[int]) -> dict[int, list[int]]:
    """Return the chunks that ids fall in, and their offsets in each, in the order given."""
    chunks: dict[int, list[int]] = {}
    for one in ids:
        chunks.setdefault(one // CHUNK_IDS, []).append(one % CHUNK_IDS)
    return chunks


def byte_range(offsets: Sequence[int]) -> tuple[int, int]:
    """Return the first and the last byte of a chunk that hold these offsets."""
    return min(offsets) >> 3, max(offsets) >> 3


def mask(offsets: Sequence[int]) -> tuple[int, bytes]:
    """Return the first byte that holds these offsets, and the bytes from there with their bits set."""
    first, last = byte_range(offsets)
    bits = bytearray(last - first + 1)
    for offset in offsets:
        bits[(offset >> 3) - first] |= 0x80 >> (offset & 7)
    return first, bytes(bits)


def holds(found: bytes, first: int, offset: int) -> bool:
    """Whether the bit of an offset is set in bytes that begin with byte ``first``. Bytes missing at the end are 0."""
    at = (offset >> 3) - first
    return at < len(found) and bool(found[at] & 0x80 >> (offset & 7))
