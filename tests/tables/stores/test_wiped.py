"""A broker replaced while RocksDB stayed: its state goes to the new changelog, below all new offsets."""

from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streams.outbound import Record
from tables.chunks import Chunk, Head, decode_chunk, decode_head, encode, offset_of
from tables.stores.base import newer
from tables.stores.wiped import OFFSET_KEY, carry_over

ITEMS = {
    b"v|BTC/USD|head": encode(Head(70, 1000, {})),
    b"v|BTC/USD|3": encode(Chunk(70, 3, [None] * 32)),
    b"v|BTC/USD|2": encode(Chunk(12, 2, [None] * 32)),
}


def database(directory: Path, partition: int, changelog_offset: int) -> Path:
    """Make a database as Faust lays it out."""
    path = directory / f"panes-{partition}.db"
    opened = Rdict(str(path), Options(raw_mode=True))
    for key, value in ITEMS.items():
        opened.put(key, value)
    opened.put(OFFSET_KEY, str(changelog_offset).encode())
    opened.close()
    return path


class Sent:
    """Takes what would go to the broker."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def deliver(self, records: list[Record]) -> None:
        """Keep the records."""
        self.records += records


async def test_state_of_a_replaced_broker_is_carried_over_and_moved_aside(tmp_path: Path) -> None:
    path, sent = database(tmp_path, 2, 500), Sent()
    assert await carry_over(tmp_path, "panes", "changelog", {2: 0}, sent.deliver) == 1
    assert not path.exists()
    assert [aside.name.startswith("panes-2.db.before-") for aside in tmp_path.iterdir()] == [True]
    found = {record.key: record.value for record in sent.records}
    assert found.keys() == ITEMS.keys()
    assert {record.partition for record in sent.records} == {2}
    head = decode_head(b"", found[b"v|BTC/USD|head"])
    assert (head.watermark, head.marks) == (1000, {})
    assert decode_chunk(b"", found[b"v|BTC/USD|3"]).number == 3
    offsets = {key: offset_of(value) for key, value in found.items()}
    assert offsets[b"v|BTC/USD|2"] < offsets[b"v|BTC/USD|3"] == offsets[b"v|BTC/USD|head"] < 0
    assert newer(found[b"v|BTC/USD|3"], encode(Chunk(0, 3, [None] * 32))), "the first frame of the new log wins"


@pytest.mark.parametrize("end", [501, 900])
async def test_a_database_within_its_changelog_stays(tmp_path: Path, end: int) -> None:
    path, sent = database(tmp_path, 0, 500), Sent()
    assert await carry_over(tmp_path, "panes", "changelog", {0: end}, sent.deliver) == 0
    assert path.exists()
    assert sent.records == []


async def test_only_the_last_one_moved_aside_is_kept(tmp_path: Path) -> None:
    (tmp_path / "panes-1.db.before-1000").mkdir()
    database(tmp_path, 1, 10)
    await carry_over(tmp_path, "panes", "changelog", {1: 3}, Sent().deliver)
    assert len(list(tmp_path.iterdir())) == 1
