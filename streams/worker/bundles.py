"""Several Kafka messages in one of Faust's: Faust takes about 100 us per message, whatever it holds.

The consumer bundles the messages of a partition that one fetch brought, and the monitor takes them apart again. A
bundle has the offset of its last message, and knows its first: once it is acknowledged, they all are
(:mod:`streams.worker.transport`).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Final, Protocol

import msgspec

from streams.kafka.broker_clock import APPEND_TIME
from streams.kafka.columns import Columns
from streams.kafka.unpacking import Refused

# A bundle is handled to its end before anything else of its partition. Others have their turns meanwhile. The more rows
# it has of each market, the less each costs. With 1000 markets it is 18 us in bundles of 1024, and 11 us in these.
MAX_MESSAGES: Final = 8192
# What is no row weighs as much as so many, and each of its bytes as much as so many. 64 frames of 20 trades take about
# 5 ms. Large frames, of about 4 900 trades of 53 bytes, travel nearly alone.
ROWS_PER_FRAME: Final = 128
BYTES_PER_FRAME_BYTE: Final = 8
ROW_START: Final = b"{"
MAX_BYTES: Final = 2 * 1024 * 1024


class Item(msgspec.Struct, frozen=True):
    """One message of a bundle. ``timestamp_ms`` is the broker's time of it, or the publisher's.

    ``refused`` says why it is no message that anybody should read; ``value`` then holds its first bytes.
    """

    offset: int
    timestamp_ms: int
    value: bytes | None
    is_brokers_time: bool = False
    refused: str = ""


class Bundle(msgspec.Struct):
    """Messages of one partition in order. ``first`` and ``offset`` are the offsets that it stands for, with both ends.

    Rows of JSON that follow each other are columns, anything else is an item.
    """

    first: int
    offset: int = -1
    parts: list[Columns | Item] = []
    weight: int = 0
    size: int = 0

    @property
    def begins_ms(self) -> int:
        """The time of its first message."""
        first = self.parts[0]
        return first.timestamp_ms if isinstance(first, Item) else first.timestamps_ms[0]

    @property
    def begins_by_broker(self) -> bool:
        """Whether that time is the broker's."""
        first = self.parts[0]
        return first.is_brokers_time if isinstance(first, Item) else first.are_brokers_times

    @property
    def timestamp_ms(self) -> int:
        """The time of its last message."""
        last = self.parts[-1]
        return last.timestamp_ms if isinstance(last, Item) else last.timestamps_ms[-1]

    def add(self, part: Columns | Item, weight: int, size: int) -> None:
        """Append messages."""
        self.parts.append(part)
        self.offset = part.offset
        self.weight += weight
        self.size += size

    def has_room(self, weight: int, size: int) -> bool:
        """Whether a message of that weight, and so many bytes, goes in: the first one always does."""
        return not self.parts or (self.weight + weight <= MAX_MESSAGES and self.size + size <= MAX_BYTES)


def bundled(found: Sequence[Columns | Refused]) -> Iterator[Bundle]:
    """Yield what one fetch brought of one partition bundled, in order."""
    bundle: Bundle | None = None
    for part, first in _parts(found):
        if isinstance(part, Item):
            size = BYTES_PER_FRAME_BYTE * len(part.value or b"")
            if bundle is not None and not bundle.has_room(ROWS_PER_FRAME, size):
                yield bundle
                bundle = None
            bundle = bundle or Bundle(first)
            bundle.add(part, ROWS_PER_FRAME, size)
            continue
        start, count = 0, len(part.sizes)
        ends = list(accumulate(part.sizes, initial=0))
        while start < count:
            if bundle is not None and not bundle.has_room(1, part.sizes[start]):
                yield bundle
                bundle = None
            bundle = bundle or Bundle(part.offsets[start])
            end = bisect_right(ends, ends[start] + MAX_BYTES - bundle.size) - 1
            end = min(max(end, start + 1), start + MAX_MESSAGES - bundle.weight, count)
            rows = part if end - start == count else part.part(start, end)
            bundle.add(rows, end - start, ends[end] - ends[start])
            start = end
    if bundle is not None:
        yield bundle


def _parts(found: Sequence[Columns | Refused]) -> Iterator[tuple[Columns | Item, int]]:
    """Yield rows that follow each other as columns, anything else alone, each with the first offset it stands for."""
    for piece in found:
        if isinstance(piece, Refused):
            is_brokers = piece.timestamp_type == APPEND_TIME
            yield Item(piece.offset, piece.timestamp, piece.value, is_brokers, piece.detail), piece.first
            continue
        are_rows = [value is not None and value.startswith(ROW_START) for value in piece.values]
        if all(are_rows):
            yield piece, piece.first
            continue
        start = 0
        for is_row, same in groupby(are_rows):
            end = start + sum(1 for _ in same)
            if is_row:
                yield piece.part(start, end), piece.offsets[start]
            else:
                for at in range(start, end):
                    offset = piece.offsets[at]
                    yield Item(offset, piece.timestamps_ms[at], piece.values[at], piece.are_brokers_times), offset
            start = end


class Placed(Protocol):
    """A record of the client's."""

    @property
    def offset(self) -> int:
        """Where it is in its partition."""
        ...


def first_of(record: Columns | Refused | Placed) -> int:
    """Return the first offset that what a fetch brought begins with: one that was refused may be a whole batch."""
    return record.first if isinstance(record, Columns | Refused) else record.offset
