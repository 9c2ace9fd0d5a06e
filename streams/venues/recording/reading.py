"""Files as chunks of lines, in bounded memory: from the beginning, or from the end where the newest row is first."""

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from streams.model.deadletters import MAX_PAYLOAD_BYTES
from streams.model.trade import Reject
from streams.venues.recording.lines import Chunk, reject

# A REST page of 1000 rows has 80 kB, a futures snapshot 20 kB. A longer line is not one of a recording.
MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_COUNTED_BYTES: Final = 1024 * 1024

Progress = Callable[[int], None]
"""Is told how many bytes have been read."""


def forwards(
    file: BinaryIO, first_line: int, chunk_bytes: int, told: Progress
) -> Iterator[Chunk | tuple[int, bytes, int]]:
    """Yield the lines that a stream still holds. ``first_line`` is the number of the next one.

    A line that is too long comes as its number, its first bytes and its length so far.
    """
    number, rest, is_dropped = first_line, b"", False
    while block := file.read(chunk_bytes):
        told(len(block))
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if lines and is_dropped:
            is_dropped, lines[0] = False, b""
        if lines:
            yield Chunk(lines, number, 1, number - first_line + 1)
            number += len(lines)
        if len(rest) > MAX_LINE_BYTES:
            if not is_dropped:
                yield number, rest[: MAX_PAYLOAD_BYTES + 1], len(rest)
            is_dropped, rest = True, b""
    if rest and not is_dropped:
        yield Chunk([rest], number, 1, number - first_line + 1)


def backwards(
    file: BinaryIO, start: int, first_line: int, chunk_bytes: int, told: Progress
) -> Iterator[Chunk | tuple[int, bytes, int]]:
    """Yield the lines of a file from its last to the one at byte ``start``, whose number is ``first_line``.

    A line that is too long comes as its number, its last bytes and its length so far.
    """
    at, last = _end_of(file, start)
    told(file.seek(0, os.SEEK_END) - at)
    number, rest, is_dropped, row = first_line + last - 1, b"", False, 1
    while at > start:
        size = min(chunk_bytes, at - start)
        at -= size
        file.seek(at)
        told(size)
        lines = (file.read(size) + rest).split(b"\n")
        rest = lines.pop(0)
        if lines and is_dropped:
            is_dropped, lines[-1] = False, b""
        if lines:
            lines.reverse()
            yield Chunk(lines, number, -1, row)
            number -= len(lines)
            row += len(lines)
        if len(rest) > MAX_LINE_BYTES:
            if not is_dropped:
                yield number, rest[-MAX_PAYLOAD_BYTES:], len(rest)
            is_dropped, rest = True, b""
    if rest and not is_dropped:
        yield Chunk([rest], number, -1, row)


def too_long(number: int, part: bytes, length: int, venue: str) -> Reject:
    """Return the reject of a line that is too long."""
    detail = f"line {number}: longer than {min(length, MAX_LINE_BYTES)} bytes"
    return reject("magnitude", detail, part, venue)


def _end_of(file: BinaryIO, start: int) -> tuple[int, int]:
    """Return where the last line ends and how many lines there are from ``start``. An end of line ends the last one."""
    file.seek(start)
    count, last = 0, b""
    while block := file.read(_COUNTED_BYTES):
        count += block.count(b"\n")
        last = block[-1:]
    end = file.seek(0, os.SEEK_END)
    return (end - 1, count) if last == b"\n" else (end, count + 1)
