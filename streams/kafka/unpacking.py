"""How much a batch of records may unpack to: a few kilobytes from a broker can be gigabytes of zeroes.

aiokafka unpacks a batch whole. Here unpacking stops at a limit, and the batch comes as one :class:`Refused` record. It
has the place of the batch in the log, and its first bytes. So does a single record of
:data:`~streams.topics.SOURCES` that is larger than any message of them. Whoever reads the topic goes on behind it.
"""

import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import cramjam
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record import default_records, legacy_records
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.kafka.admin import MAX_RECORD_BYTES
from streams.kafka.columns import Columns, WholeBatch, are_columns, joined
from streams.topics import SOURCES

MAX_BATCH_BYTES: Final = 2 * MAX_RECORD_BYTES
"""Most that a batch may unpack to: the largest record that this program writes, twice."""

MAX_BATCH_RECORDS: Final = 100_000
"""Most records in a batch of the sources: each is handled alone, and a batch of nothing but empty ones has millions."""

MAX_MESSAGE_BYTES: Final = 768 * 1024
"""Most bytes of a message of the sources: twice the largest frame. A worker may have to send it on to another
partition, and brokers usually take 1 MB."""

MAX_FETCHED_BYTES: Final = 4 * 1024**2
"""After so many bytes of one partition what was fetched is handed on. A fetch of 1 MB may hold a thousand batches."""

MAX_FETCHED_RECORDS: Final = 8 * 1024
"""So it is after so many records in columns: rows for one bundle, more than a fetch of 1 MB usually holds."""

FIRST_BYTES: Final = 4096
"""How much is kept of what is refused, for its dead letter."""

MAX_GZIP_MEMBERS: Final = 100
"""Most members of a gzip batch. Every client writes one. A batch of empty ones, 20 bytes each, takes time in the square
of their number."""

# A frame unpacks to less than three times its size, JSON to some twenty times.
FIRST_GUESS: Final = 8
LEAST_GUESS: Final = 64 * 1024

XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""How a stream of snappy blocks begins. A block's size, 4 bytes big endian, stands before it."""

Unpack = Callable[[Any], bytes]


class TooLarge(Exception):
    """A batch unpacks to more than it may, or has more parts; ``first`` are its first bytes, packed as they came."""

    def __init__(self, what: str, first: bytes = b"") -> None:
        super().__init__(what)
        self.first = first


@dataclass
class Refused(ConsumerRecord):  # type: ignore[misc]
    """A record, or all of a batch, that is larger than may be; ``value`` holds its first bytes, ``offset`` is its last.

    ``first`` is its first offset, ``detail`` says what was wrong.
    """

    first: int = -1
    detail: str = ""


def _too_large(packed: Any) -> TooLarge:
    return TooLarge(
        f"a compressed batch of {len(packed)} bytes unpacks to more than {MAX_BATCH_BYTES}", bytes(packed[:FIRST_BYTES])
    )


def _unpacked_into(codec: Any, packed: Any) -> bytes:
    """Unpack into a buffer that grows as far as it may: large ones take 20 ms to make."""
    size = min(MAX_BATCH_BYTES, max(LEAST_GUESS, FIRST_GUESS * len(packed)))
    while True:
        buffer = bytearray(size)
        try:
            written = codec.decompress_into(packed, buffer)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
            if size >= MAX_BATCH_BYTES:
                raise _too_large(packed) from None
            size = min(MAX_BATCH_BYTES, FIRST_GUESS * size)
        else:
            return bytes(memoryview(buffer)[:written])


def gzip_decode(packed: Any) -> bytes:
    """Unpack gzip, of one member or several. Raises :class:`TooLarge`."""
    found: list[bytes] = []
    left, rest = MAX_BATCH_BYTES, bytes(packed)
    while rest:
        if len(found) == MAX_GZIP_MEMBERS:
            what = f"a compressed batch of {len(packed)} bytes has more than {MAX_GZIP_MEMBERS} gzip members"
            raise TooLarge(what, bytes(packed[:FIRST_BYTES]))
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        found.append(unpacking.decompress(rest, left + 1))
        left -= len(found[-1])
        if left < 0:
            raise _too_large(packed)
        if not unpacking.eof:
            raise zlib.error("incomplete gzip stream")
        rest = unpacking.unused_data
    return b"".join(found)


def lz4_decode(packed: Any) -> bytes:
    """Unpack lz4. Raises :class:`TooLarge`."""
    return _unpacked_into(cramjam.lz4, packed)


def zstd_decode(packed: Any) -> bytes:
    """Unpack zstd. Raises :class:`TooLarge`."""
    return _unpacked_into(cramjam.zstd, packed)


def snappy_decode(packed: Any) -> bytes:
    """Unpack snappy, of one block or of the blocks that Java's library makes. Raises :class:`TooLarge`."""
    view = memoryview(packed)
    blocks = [view] if bytes(view[: len(XERIAL)]) != XERIAL else list(_snappy_blocks(view[len(XERIAL) :]))
    found, left = [], MAX_BATCH_BYTES
    for block in blocks:
        left -= cramjam.snappy.decompress_raw_len(block)
        if left < 0:
            raise _too_large(packed)
        found.append(bytes(cramjam.snappy.decompress_raw(block)))
    return b"".join(found)


def _snappy_blocks(view: memoryview) -> Iterator[memoryview]:
    while view:
        end = 4 + int.from_bytes(view[:4], "big")
        yield view[4:end]
        view = view[end:]


class _Batches:
    """The batches of a fetch, as aiokafka asks for them; ``last`` is the one given last.

    Where they are wanted whole, each is one record: its columns.
    """

    def __init__(self, records: PartitionRecords, *, is_source: bool, are_whole: bool) -> None:
        self._records = records
        self._batches = records._records
        self._is_source = is_source
        self._are_whole = are_whole
        self.last: Any = None

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        self.last = self._batches.next_batch()
        # Batches of before Kafka 0.11 do not say where they begin.
        count = self.last.next_offset - getattr(self.last, "base_offset", self.last.next_offset)
        if self._is_source and count > MAX_BATCH_RECORDS:
            raise TooLarge(f"a batch holds {count} records, more than {MAX_BATCH_RECORDS}")
        return WholeBatch(self.last, self._records.next_fetch_offset) if self._are_whole else self.last


def _within_limits(unpack: Callable[[PartitionRecords], Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Let what is larger than it may be come as :class:`Refused`, and go on behind it."""

    @functools.wraps(unpack)
    def wrapped(records: PartitionRecords) -> Iterator[Any]:
        tp = records._tp
        is_source = tp.topic in SOURCES
        are_whole = are_columns(tp.topic)
        if are_whole:
            records._consumer_record = _as_it_is
        batches = records._records = _Batches(records, is_source=is_source, are_whole=are_whole)
        while True:
            try:
                for record in unpack(records):
                    if are_whole:
                        yield from _within_size(tp, record)
                    else:
                        yield _refused(record) if is_source and _size(record) > MAX_MESSAGE_BYTES else record
            except TooLarge as error:
                batch, first = batches.last, records.next_fetch_offset
                first = max(first, getattr(batch, "base_offset", first))
                records.next_fetch_offset = batch.next_offset
                yield Refused(
                    tp.topic, tp.partition, batch.next_offset - 1, getattr(batch, "max_timestamp", -1), 0, None,
                    error.first, None, -1, len(error.first), (), first, str(error),
                )  # fmt: skip
            else:
                return

    return wrapped


def _as_it_is(_: TopicPartition, columns: Columns) -> Columns:
    return columns


def _within_size(tp: TopicPartition, columns: Columns) -> Iterator[Columns | Refused]:
    """Yield the records of a batch, and in their places those that are larger than they may be."""
    start = 0
    if max(columns.sizes) > MAX_MESSAGE_BYTES:
        for at, size in enumerate(columns.sizes):
            if size > MAX_MESSAGE_BYTES:
                if at > start:
                    yield columns.part(start, at)
                start = at + 1
                offset, time_ms, value = columns.offsets[at], columns.timestamps_ms[at], columns.values[at] or b""
                yield Refused(
                    tp.topic, tp.partition, offset, time_ms, int(columns.are_brokers_times), None, value[:FIRST_BYTES],
                    None, -1, min(size, FIRST_BYTES), (), offset, _detail(size),
                )  # fmt: skip
    if start < len(columns.offsets):
        yield columns.part(start, len(columns.offsets)) if start else columns


def _detail(size: int) -> str:
    return f"a message of {size} bytes, more than {MAX_MESSAGE_BYTES}"


def _size(record: Any) -> int:
    size: int = record.serialized_key_size + record.serialized_value_size
    return size if not record.headers else size + sum(len(name) + len(value or b"") for name, value in record.headers)


def _refused(record: Any) -> Refused:
    value = (record.value or b"")[:FIRST_BYTES]
    return Refused(
        record.topic, record.partition, record.offset, record.timestamp, record.timestamp_type, None, value, None, -1,
        len(value), (), record.offset, _detail(_size(record)),
    )  # fmt: skip


def _in_parts(getall: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Hand on what a fetch brought in parts of some megabytes, so that its batches are unpacked one after another."""

    @functools.wraps(getall)
    def wrapped(result: FetchResult, max_records: int | None = None) -> list[Any]:
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            return []
        if are_columns(result._topic_partition.topic):
            return _all_columns(result)
        found: list[Any] = []
        size = 0
        for record in result._partition_records:
            found.append(record)
            size += _size(record)
            if len(found) == max_records or size >= MAX_FETCHED_BYTES:
                result._update_position()
                break
        else:
            result._update_position()
            result._partition_records = None
        return found

    return wrapped


def _all_columns(result: FetchResult) -> list[Columns | Refused]:
    """Return what a fetch brought, in as few pieces as it has between what is refused."""
    found: list[Columns | Refused] = []
    beside: list[Columns] = []
    size = count = 0
    for piece in result._partition_records:
        is_refused = isinstance(piece, Refused)
        if beside and (is_refused or piece.are_brokers_times != beside[0].are_brokers_times):
            found.append(joined(beside))
            beside = []
        if is_refused:
            found.append(piece)
            size, count = size + FIRST_BYTES, count + 1
        else:
            beside.append(piece)
            size, count = size + sum(piece.sizes), count + len(piece.sizes)
        if size >= MAX_FETCHED_BYTES or count >= MAX_FETCHED_RECORDS:
            result._update_position()
            break
    else:
        result._update_position()
        result._partition_records = None
    if beside:
        found.append(joined(beside))
    return found


def _modules() -> Iterator[ModuleType]:
    """Yield the modules that unpack: aiokafka's in C, which look up their functions by name, and those in Python."""
    yield default_records
    yield legacy_records
    try:
        from aiokafka.record import _crecords  # noqa: PLC0415 - a build without C lacks it
    except ImportError:
        return
    yield _crecords.default_records
    yield _crecords.legacy_records


MENDED: Final = (
    (PartitionRecords, "_unpack_records", _within_limits(PartitionRecords._unpack_records)),
    (FetchResult, "getall", _in_parts(FetchResult.getall)),
    *(
        (module, decode.__name__, decode)
        for module in _modules()
        for decode in (gzip_decode, snappy_decode, lz4_decode, zstd_decode)
        if hasattr(module, decode.__name__)
    ),
)
