"""Fetches in columns hold what they hold record by record, and end in the same place."""

from contextlib import ExitStack
from itertools import chain
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.columns import Columns, columns_of, in_columns, joined
from streams.kafka.mends import mend_aiokafka
from streams.kafka.unpacking import MAX_BATCH_RECORDS, MAX_FETCHED_RECORDS, MAX_MESSAGE_BYTES, Refused
from streams.topics import ALERTS, TRADES
from tests.streams.kafka.test_unpacking import CODECS, LZ4, ZSTD, batch

ABORTED_PRODUCER = 7
READ_COMMITTED = 1


class Place:
    """Where a partition is read, as aiokafka keeps it."""

    paused = False
    active = True

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _: object) -> "Place":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetched(
    data: bytes,
    *,
    start: int = 0,
    topic: str = TRADES,
    whole: bool = True,
    aborted: list[tuple[int, int]] | None = None,
    isolation: int = 0,
) -> tuple[list[Any], Place]:
    """Return all that a fetch brought, and the place where the partition is read then."""
    mend_aiokafka()
    tp, place = TopicPartition(topic, 3), Place(start)
    records = PartitionRecords(tp, MemoryRecords(data), aborted or [], start, None, None, True, isolation)
    result = FetchResult(tp, assignment=place, partition_records=records, backoff=0)
    found = []
    with ExitStack() as stack:
        if whole:
            stack.enter_context(in_columns())
        while result.has_more():
            found.append(result.getall(1024))
    return found, place


def told(pieces: list[Any]) -> list[tuple[Any, ...]]:
    """Return what is known of each record, however it came."""
    found: list[tuple[Any, ...]] = []
    for piece in pieces:
        if isinstance(piece, Columns):
            kind = int(piece.are_brokers_times)
            found += [
                (at, time, kind, value) for at, time, value in zip(*piece[:3], strict=True) if isinstance(at, int)
            ]
        else:
            refusal = (piece.first, piece.detail.rpartition(" of ")[0]) if isinstance(piece, Refused) else ()
            found.append((piece.offset, piece.timestamp, piece.timestamp_type, piece.value, *refusal))
    return found


def same(data: bytes, **others: Any) -> list[Any]:
    """Return the pieces of a fetch in columns, after a look at those that come one by one."""
    (whole, place), (single, other) = fetched(data, **others), fetched(data, whole=False, **others)
    pieces: list[Any] = list(chain(*whole))
    assert told(pieces) == told(list(chain(*single)))
    assert place.position == other.position
    return pieces


def with_flags(data: bytes, flags: int, producer: int = -1) -> bytes:
    """Return a batch with these attributes: 8 for the broker's time, 16 for a transaction, 32 for its marks."""
    from aiokafka.record._crc32c import crc  # noqa: PLC0415

    made = bytearray(data)
    made[21:23] = (int.from_bytes(made[21:23], "big") | flags).to_bytes(2, "big")
    made[43:51] = producer.to_bytes(8, "big", signed=True)
    made[17:21] = crc(bytes(made[21:])).to_bytes(4, "big")
    return bytes(made)


@pytest.mark.parametrize(
    ("codec", "magic"), [(codec, magic) for codec in CODECS for magic in (1, 2) if codec != "zstd" or magic == 2]
)
@pytest.mark.parametrize("start", [50, 52, 53])
def test_columns_hold_what_single_records_hold(codec: str, magic: int, start: int) -> None:
    """Also from the middle of a batch on."""
    values = [b"", b"{}", b"x" * 1000, b"y"]
    data = batch(values, CODECS[codec], 50, magic) + batch(values, CODECS[codec], 54, magic)
    [piece] = same(data, start=start)
    assert list(piece.offsets) == list(range(start, 58))
    assert piece.sizes == [len(value) for value in piece.values]


def test_the_brokers_times_are_told_from_those_of_publishers() -> None:
    first, last = batch([b"a", b"b"], 0), batch([b"c", b"d"], 0, 2)
    pieces = same(with_flags(first, 8) + last)
    assert [(piece.are_brokers_times, list(piece.timestamps_ms)) for piece in pieces] == [
        (True, [1001, 1001]),
        (False, [1000, 1001]),
    ]


def test_transactions_that_were_aborted_and_their_marks_are_passed_over() -> None:
    """As they are record by record: aiokafka looks at whole batches."""
    kept, gone = batch([b"a"], 0), with_flags(batch([b"b", b"c"], 0, 1), 16, ABORTED_PRODUCER)
    mark = with_flags(batch([b""], 0, 3), 16 | 32, ABORTED_PRODUCER)
    data = kept + gone + mark + batch([b"d"], 0, 4)
    [piece] = same(data, aborted=[(ABORTED_PRODUCER, 1)], isolation=READ_COMMITTED)
    assert (piece.offsets, piece.values) == ([0, 4], [b"a", b"d"])
    _, place = fetched(kept + gone + mark, aborted=[(ABORTED_PRODUCER, 1)], isolation=READ_COMMITTED)
    assert place.position == 4, "behind the marks"


def test_what_is_refused_keeps_its_place() -> None:
    """A message that is too large, at the beginning, in the middle and at the end, and a batch of too many."""
    large, crowd = bytes(MAX_MESSAGE_BYTES + 1), batch([b""] * (MAX_BATCH_RECORDS + 1), ZSTD, 6)
    data = batch([large, b"a", large, b"b", b"c", large], LZ4) + crowd + batch([b"d"], 0, 7 + MAX_BATCH_RECORDS)
    pieces = same(data)
    assert [isinstance(piece, Refused) for piece in pieces] == [True, False, True, False, True, True, False]
    assert pieces[5].first == 6


def test_a_fetch_of_a_great_many_records_is_handed_on_in_parts() -> None:
    """A megabyte may hold thousands of batches of empty records."""
    many, count = 1000, 20
    parts, place = fetched(b"".join(batch([b"x"] * many, ZSTD, many * at) for at in range(count)))
    assert len(parts) > 1
    assert max(sum(len(piece.values) for piece in part) for part in parts) <= MAX_FETCHED_RECORDS + many
    assert place.position == many * count


def test_only_trades_come_in_columns_and_only_to_who_asks() -> None:
    data = batch([b"a"], 0)
    [[record]], _ = fetched(data, topic=ALERTS)
    assert record.key == b"BTC/USD"
    [[record]], _ = fetched(data, whole=False)
    assert record.key == b"BTC/USD"


class Record:
    """A record of the client's, of a log that was compacted."""

    timestamp_type = 0
    value = b"x"

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.timestamp = 10 * offset


@given(st.sets(st.integers(0, 40)), st.integers(0, 45))
def test_a_batch_with_holes_begins_where_it_is_wanted(offsets: set[int], wanted: int) -> None:
    found = columns_of([Record(offset) for offset in sorted(offsets)], wanted)
    expected = [offset for offset in sorted(offsets) if offset >= wanted]
    assert (list(found.offsets) if found else []) == expected
    assert (list(found.timestamps_ms) if found else []) == [10 * offset for offset in expected]


def test_parts_of_columns_are_columns() -> None:
    columns = Columns(range(5, 9), [1, 2, 3, 4], [b"a", None, b"c", b"d"], [1, 0, 1, 1], are_brokers_times=False)
    assert (columns.first, columns.offset) == (5, 8)
    middle = columns.part(1, 3)
    assert (middle.first, middle.offset, middle.values) == (6, 7, [None, b"c"])
    again = joined([columns.part(0, 1), middle, columns.part(3, 4)])
    assert again == columns._replace(offsets=[5, 6, 7, 8])
