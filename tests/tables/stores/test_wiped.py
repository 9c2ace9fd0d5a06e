"""A broker replaced while RocksDB stayed: its state goes to the new changelog, below all new offsets."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streams.errors import Outage
from streams.kafka.outbound import Record
from tables.market.chunk import Chunk
from tables.market.chunks import Head, decode_chunk, decode_head, encode, offset_of, shifted
from tables.stores.base import newer
from tables.stores.wiped import OFFSET_KEY, OLD_LOG, carry_over
from tests.tables.stores.conftest import LATER, LATER_OF_NO_MARKET

ITEMS = {
    b"v|BTC/USD|head": encode(Head(70, 1000, {})),
    b"v|BTC/USD|3": encode(Chunk(70, 3, [None] * 32)),
    b"v|BTC/USD|2": encode(Chunk(12, 2, [None] * 32)),
}


def database(directory: Path, partition: int, changelog_offset: int, items: Mapping[bytes, bytes] = ITEMS) -> Path:
    """Make a database as Faust lays it out."""
    path = directory / f"panes-{partition}.db"
    opened = Rdict(str(path), Options(raw_mode=True))
    for key, value in items.items():
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
    assert await carry_over(tmp_path, "panes", "changelog", "new", {2: 0}, sent.deliver) == 1
    assert not path.exists()
    assert [aside.name.startswith("panes-2.db.before-") for aside in tmp_path.glob("panes-2*")] == [True]
    found = {record.key: record.value for record in sent.records}
    assert found.keys() == ITEMS.keys()
    assert {record.partition for record in sent.records} == {2}
    head = decode_head(b"", found[b"v|BTC/USD|head"])
    assert (head.watermark, head.marks) == (1000, {})
    assert decode_chunk(b"", found[b"v|BTC/USD|3"]).number == 3
    offsets = {key: offset_of(value) for key, value in found.items()}
    assert offsets[b"v|BTC/USD|2"] < offsets[b"v|BTC/USD|3"] == offsets[b"v|BTC/USD|head"] < 0
    assert newer(found[b"v|BTC/USD|3"], encode(Chunk(0, 3, [None] * 32))), "the first frame of the new log wins"


async def test_a_later_releases_state_is_carried_over_too(tmp_path: Path) -> None:
    """Every byte of it but the offset, whatever its key ends in."""
    items, sent = LATER | LATER_OF_NO_MARKET, Sent()
    database(tmp_path, 2, 500, items)
    assert await carry_over(tmp_path, "panes", "changelog", "new", {2: 0}, sent.deliver) == 1
    assert {record.key: shifted(record.value, OLD_LOG) for record in sent.records} == items
    assert all(offset_of(record.value) < 0 for record in sent.records)


@pytest.mark.parametrize("end", [501, 900])
async def test_a_database_within_its_changelog_stays(tmp_path: Path, end: int) -> None:
    path, sent = database(tmp_path, 0, 500), Sent()
    assert await carry_over(tmp_path, "panes", "changelog", "new", {0: end}, sent.deliver) == 0
    assert path.exists()
    assert sent.records == []


async def test_what_another_worker_has_carried_over_hides_no_state_of_the_old_broker(tmp_path: Path) -> None:
    """The new changelog may already be longer than the old one was when this worker comes."""
    path, sent = database(tmp_path, 0, 500), Sent()
    assert await carry_over(tmp_path, "panes", "changelog", "old", {0: 501}, sent.deliver) == 0
    assert await carry_over(tmp_path, "panes", "changelog", "new", {0: 800}, sent.deliver) == 1
    assert not path.exists()
    assert {record.key: record.value for record in sent.records}.keys() == ITEMS.keys()
    assert all(offset_of(record.value) < 0 for record in sent.records)
    path = database(tmp_path, 0, 500)
    assert await carry_over(tmp_path, "panes", "changelog", "new", {0: 1300}, sent.deliver) == 0
    assert path.exists()


async def test_a_broker_that_is_lost_in_the_middle_is_carried_over_to_again(tmp_path: Path) -> None:
    """Nothing is taken for this broker's before all of it is there."""
    database(tmp_path, 0, 500)
    assert await carry_over(tmp_path, "panes", "changelog", "old", {0: 501}, Sent().deliver) == 0

    async def lost(_: object) -> None:
        raise Outage("away")

    with pytest.raises(Outage):
        await carry_over(tmp_path, "panes", "changelog", "new", {0: 800}, lost)
    assert await carry_over(tmp_path, "panes", "changelog", "new", {0: 800}, Sent().deliver) == 1


async def test_only_the_last_one_moved_aside_is_kept(tmp_path: Path) -> None:
    (tmp_path / "panes-1.db.before-1000").mkdir()
    database(tmp_path, 1, 10)
    await carry_over(tmp_path, "panes", "changelog", "new", {1: 3}, Sent().deliver)
    assert len(list(tmp_path.glob("panes-1*"))) == 1
