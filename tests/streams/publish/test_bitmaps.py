"""Bitmaps of ids: what is set is found, nothing else is, and Redis reads them as we do."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from streams.publish import bitmaps

ids = st.lists(st.integers(0, 3 * bitmaps.CHUNK_IDS), min_size=1, max_size=60)


class Chunks:
    """Chunks as Redis would keep them: masks are merged by OR."""

    def __init__(self) -> None:
        self.bytes: dict[int, bytearray] = defaultdict(lambda: bytearray(bitmaps.CHUNK_IDS // 8))

    def add(self, given_ids: list[int]) -> None:
        for chunk, offsets in bitmaps.by_chunk(given_ids).items():
            first, mask = bitmaps.mask(offsets)
            for at, bits in enumerate(mask):
                self.bytes[chunk][first + at] |= bits


@given(marked=ids, asked=ids)
def test_what_is_marked_is_found_and_nothing_else(marked: list[int], asked: list[int]) -> None:
    """The answer for every id is whether that id was marked."""
    chunks = Chunks()
    chunks.add(marked)
    for chunk, offsets in bitmaps.by_chunk(asked).items():
        first, last = bitmaps.byte_range(offsets)
        # Redis leaves out bytes behind the last one written.
        answer = bytes(chunks.bytes[chunk][first : last + 1]).rstrip(b"\0")
        for offset in offsets:
            assert bitmaps.holds(answer, first, offset) == (chunk * bitmaps.CHUNK_IDS + offset in marked)


def test_bits_are_counted_as_redis_counts_them() -> None:
    """Bit 0 is the highest of the first byte."""
    assert bitmaps.mask([0]) == (0, b"\x80")
    assert bitmaps.mask([7, 8]) == (0, b"\x01\x80")
    assert bitmaps.mask([8191]) == (1023, b"\x01")


def test_consecutive_ids_fill_few_bytes() -> None:
    """A frame of 500 trades is 63 bytes or so."""
    ((chunk, offsets),) = bitmaps.by_chunk(range(40_960_100, 40_960_600)).items()
    assert chunk == 5000
    first, mask = bitmaps.mask(offsets)
    assert (first, len(mask)) == (12, 63)
    assert sum(byte.bit_count() for byte in mask) == 500
