"""What a batch may unpack to: a bomb is refused in little memory, and what is behind it is read."""

import gzip
import json
import subprocess
import sys
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.kafka.mends import mend_aiokafka
from streams.kafka.unpacking import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    MAX_FETCHED_BYTES,
    MAX_GZIP_MEMBERS,
    MAX_MESSAGE_BYTES,
    Refused,
    TooLarge,
    gzip_decode,
)
from streams.topics import TRADES

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
# Python with its libraries and a batch of 16 MiB twice; the 300 MB of the bomb would show.
MOST_KILOBYTES = 160_000

BOMB = """
import json, sys
from tests.streams.kafka import test_unpacking as tests
tests.mend_aiokafka()
with open(sys.argv[1], "rb") as file:
    found = tests.unpacked(file.read())
# Of this program alone: what getrusage says begins with the process that started it.
[peak] = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([peak, [[r.offset, getattr(r, "first", None), getattr(r, "detail", "")] for r in found]]))
"""


def batch(values: list[bytes], codec: int, start: int = 0, magic: int = 2) -> bytes:
    """Return a batch of records as a broker keeps it."""
    builder: Any
    if magic == 2:
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0,
            batch_size=2**31 - 1,
        )  # fmt: skip
        for at, value in enumerate(values):
            builder.append(at, 1000 + at, b"BTC/USD", value, [])
    else:
        builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec, batch_size=2**31 - 1)
        for at, value in enumerate(values):
            builder.append(at, 1000 + at, b"BTC/USD", value)
    built = bytearray(builder.build())
    # The offset of a batch of before version 2 is that of its last record.
    built[:8] = (start if magic == 2 else start + len(values) - 1).to_bytes(8, "big")
    return bytes(built)


def partition_records(data: bytes, topic: str = TRADES, fetch_offset: int = 0) -> PartitionRecords:
    """Return what the client makes of a fetch."""
    mend_aiokafka()
    return PartitionRecords(
        TopicPartition(topic, 3), MemoryRecords(data), [], fetch_offset, None, None, True, 0
    )  # fmt: skip


def unpacked(data: bytes, topic: str = TRADES, fetch_offset: int = 0) -> list[Any]:
    """Return the records of a fetch."""
    return list(partition_records(data, topic, fetch_offset))


# Batches of before Kafka 0.11 know no zstd.
@pytest.mark.parametrize(
    ("codec", "magic"), [(codec, magic) for codec in CODECS for magic in (1, 2) if codec != "zstd" or magic == 2]
)
def test_what_is_not_too_large_comes_as_it_was(codec: str, magic: int) -> None:
    """Also where it unpacks to far more than it was guessed to."""
    values = [b"", b"x", bytes(range(256)) * 100, bytes(MAX_MESSAGE_BYTES - 7)]
    found = unpacked(batch(values, CODECS[codec], 50, magic) + batch(values, CODECS[codec], 54, magic), fetch_offset=50)
    assert [(record.offset, record.value) for record in found] == list(enumerate(values * 2, start=50))
    assert not any(isinstance(record, Refused) for record in found)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_in_little_memory_and_what_follows_is_read(codec: str, tmp_path: Any) -> None:
    """300 MB in one record; its place is told, and its first bytes."""
    bomb = batch([bytes(300_000_000)], CODECS[codec], 7)
    assert len(bomb) < 16_000_000
    file = tmp_path / "fetch"
    file.write_bytes(batch([b"before"], 0, 6) + bomb + batch([b"behind"], 0, 8))
    done = subprocess.run([sys.executable, "-c", BOMB, file], capture_output=True, check=True, text=True, timeout=60)
    peak_kilobytes, found = json.loads(done.stdout)
    assert [(offset, first) for offset, first, _ in found] == [(6, None), (7, 7), (8, None)]
    assert f"unpacks to more than {MAX_BATCH_BYTES}" in found[1][2]
    assert peak_kilobytes < MOST_KILOBYTES + len(bomb) // 500


def test_a_gzip_batch_of_a_great_many_members_is_refused() -> None:
    """Each costs a copy of all that follow: a megabyte of them held a worker up for a second."""
    with pytest.raises(TooLarge, match=f"has more than {MAX_GZIP_MEMBERS} gzip members"):
        gzip_decode(gzip.compress(b"") * (MAX_GZIP_MEMBERS + 1))
    assert gzip_decode(gzip.compress(b"x") * MAX_GZIP_MEMBERS) == b"x" * MAX_GZIP_MEMBERS


def test_a_bomb_of_many_records_stands_for_all_their_offsets() -> None:
    """From where it was fetched on: those before it were taken already."""
    bomb = batch([bytes(500_000)] * 40, ZSTD, 100)
    [refused, behind] = unpacked(bomb + batch([b"behind"], 0, 140), fetch_offset=120)
    assert (refused.first, refused.offset, refused.partition) == (120, 139, 3)
    assert refused.value == bomb[61 : 61 + len(refused.value)]
    assert (behind.offset, behind.value) == (140, b"behind")


def test_a_batch_of_a_great_many_records_is_refused_as_one() -> None:
    """Each would be handled alone."""
    crowd = batch([b""] * (MAX_BATCH_RECORDS + 1), ZSTD)
    [refused] = unpacked(crowd)
    assert (refused.first, refused.offset) == (0, MAX_BATCH_RECORDS)
    assert f"holds {MAX_BATCH_RECORDS + 1} records" in refused.detail
    assert len(unpacked(crowd, "some-changelog")) == MAX_BATCH_RECORDS + 1


def test_a_message_larger_than_any_of_its_topic_is_refused_and_others_of_its_batch_are_read() -> None:
    """Its first bytes are kept. Changelogs hold larger records."""
    large = b"large" * MAX_MESSAGE_BYTES
    data = batch([b"a", large, b"b"], LZ4)
    [first, refused, last] = unpacked(data)
    assert (first.value, last.value) == (b"a", b"b")
    assert isinstance(refused, Refused)
    assert (refused.first, refused.offset, refused.value) == (1, 1, large[:4096])
    assert [record.value for record in unpacked(data, "some-changelog")] == [b"a", large, b"b"]


def test_a_fetch_of_many_batches_is_handed_on_in_parts() -> None:
    """Each batch is unpacked when it is its turn, and the position says how far that is."""

    class Place:
        paused = False
        position = 0

        def consumed_to(self, position: int) -> None:
            self.position = position

    class Assignment:
        active = True

        def __init__(self) -> None:
            self.place = Place()

        def state_value(self, _: object) -> Place:
            return self.place

    data = b"".join(batch([bytes(700_000)], ZSTD, at) for at in range(20))
    assignment = Assignment()
    result = FetchResult(
        TopicPartition(TRADES, 3), assignment=assignment, partition_records=partition_records(data), backoff=0
    )
    parts = []
    while result.has_more():
        parts.append([record.offset for record in result.getall(500)])
        assert assignment.place.position == sum(map(len, parts))
    assert [offset for part in parts for offset in part] == list(range(20))
    assert max(map(len, parts)) == -(-MAX_FETCHED_BYTES // 700_000)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_broken_is_an_error_as_before(codec: str) -> None:
    """And not a bomb."""
    data = batch([bytes(1000)], CODECS[codec])
    mend_aiokafka()
    with pytest.raises(Exception, match=r"(?i)incomplete|frame|corrupt|invalid|snappy|length|header|failed") as found:
        list(DefaultRecordBatch(data[:70]))
    assert type(found.value).__name__ != "TooLarge"
