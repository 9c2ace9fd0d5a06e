"""A restore by whole fetches leaves what one by single records does, whatever stands in the changelog."""

from collections.abc import Iterable, Iterator
from random import Random

import pytest
from faust.types import TP

from streams.worker.changelog import ChangelogRecord
from tables.market.chunks import known_offset
from tests.tables.stores.conftest import KINDS, TOPIC, Changelog, Owner, OwnerFactory, item

PARTITIONS = (0, 1, 2)
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD")
JUNK = (b"", b"junk", b"\x90", b"\xc1", b"\x93\xa1x\x00\x00")
RECORDS = 60
# Databases take long to open and to close.
SEEDS = {"rocksdb": range(3), "redis": range(12), "memory": range(100)}


def log_of(random: Random) -> list[ChangelogRecord]:
    """Return records of several partitions: new, stale, and written again, tombstones, junk, and gaps in between."""
    ends = dict.fromkeys(PARTITIONS, 0)
    found = []
    for _ in range(RECORDS):
        partition = random.choice(PARTITIONS)
        ((key, value),) = item(random.choice(SYMBOLS), random.randrange(20), watermark=random.randrange(3)).items()
        stored: bytes | None = random.choice(JUNK) if random.random() < 0.1 else value
        if random.random() < 0.1:
            stored = None
        named: bytes | None = None if random.random() < 0.05 else key
        # Compaction has left gaps.
        ends[partition] += random.choice((1, 1, 1, 4))
        found.append(ChangelogRecord(TP(TOPIC, partition), ends[partition] - 1, named, stored))
    return found


def fetches(records: list[ChangelogRecord], random: Random) -> Iterator[list[ChangelogRecord]]:
    """Yield the records in pieces of any size, several partitions in each."""
    while records:
        size = random.randint(1, 25)
        yield records[:size]
        records = records[size:]


def expected(records: Iterable[ChangelogRecord]) -> dict[tuple[int, bytes], bytes]:
    """Return the value of each partition's key that contains the highest offset, the last of those."""
    found: dict[tuple[int, bytes], tuple[int, bytes]] = {}
    for record in records:
        if record.key is None or record.value is None or (offset := known_offset(record.value)) is None:
            continue
        place = (record.partition, record.key)
        if place not in found or offset >= found[place][0]:
            found[place] = (offset, record.value)
    return {place: value for place, (_, value) in found.items()}


async def restored(owner: Owner, pieces: Iterable[list[ChangelogRecord]]) -> dict[object, object]:
    """Apply pieces; return all that the store then says."""
    await owner.rebalance(*PARTITIONS)
    for piece in pieces:
        owner.store.apply_changelog_batch(piece, None, None)
    await owner.complete(*PARTITIONS)
    said: dict[object, object] = {}
    for partition in PARTITIONS:
        said["claimed", partition] = owner.store.persisted_offset(TP(TOPIC, partition))
        for symbol in SYMBOLS:
            said |= {(partition, key): value for key, value in (await owner.heads(symbol, partition)).items()}
        said["overtaken", partition] = owner.store.overtaken(partition).take()
    return said


@pytest.mark.parametrize("kind", KINDS)
async def test_fetches_leave_what_single_records_do(kind: str, new_owner: OwnerFactory, changelog: Changelog) -> None:
    """The same values, the same claim, and the same values to be written over."""
    for seed in SEEDS[kind]:
        random = Random(seed)
        records = log_of(random)
        for partition in PARTITIONS:
            # Redis asks the changelog for its end.
            changelog.records[partition] = [(b"", b"")] * 1000
        by_one = await new_owner(kind, directory=f"single-{seed}")
        one = await restored(by_one, ([record] for record in records))
        # Owners of a kind share Redis.
        by_one.store.reset_state()
        by_fetch = await new_owner(kind, directory=f"fetches-{seed}")
        all_ = await restored(by_fetch, fetches(records, random))
        by_fetch.store.reset_state()
        assert all_ == one, f"seed {seed}"
        values = {place: value for place, value in all_.items() if isinstance(place, tuple) and place[0] in PARTITIONS}
        assert values == expected(records), f"seed {seed}"
