"""Stores as Faust makes and drives them: a changelog, owners that come and go, and a store of each kind."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import faust
import msgspec
import pytest
from faust.types import TP

from streams.kafka.outbound import Record
from streams.settings import load_settings
from tables.market.chunks import Head, encode, head_key, prefix
from tables.stores import redis as redis_store
from tables.stores.base import StateStore

TOPIC = "test-panes-changelog"
KINDS = ("rocksdb", "redis", "memory")
DRIVERS = {"rocksdb": "liqmon-rocksdb://", "redis": "liqmon-redis://", "memory": "liqmon-memory://"}


class DrivenStore(StateStore, Protocol):
    """What Faust calls, beside what the keeper does."""

    url: Any
    label: str

    def persisted_offset(self, tp: TP) -> int | None: ...
    def apply_changelog_batch(self, batch: Sequence[Any], to_key: Any, to_value: Any) -> None: ...
    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP]) -> None: ...
    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None: ...
    async def need_active_standby_for(self, tp: TP) -> bool: ...
    def reset_state(self) -> None: ...
    async def stop(self) -> None: ...


class Changelog:
    """The changelog topic of one broker."""

    def __init__(self) -> None:
        self.cluster = "broker-one"
        self.records: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)

    def write(self, items: dict[bytes, bytes], partition: int = 0) -> int:
        """Append items and return the last one's offset."""
        self.records[partition] += items.items()
        return len(self.records[partition]) - 1

    async def ends(self, _settings: Any, topic: str) -> tuple[str, dict[int, int]]:
        """Answer as :func:`streams.kafka.admin.cluster_and_ends`."""
        assert topic == TOPIC
        return self.cluster, {partition: len(self.records[partition]) for partition in range(4)}

    async def deliver(self, _settings: Any, records: Iterable[Record]) -> None:
        """Take records as :func:`tables.stores.redis.deliver` sends them."""
        for record in records:
            assert record.topic == TOPIC
            self.records[record.partition or 0].append((record.key, record.value))


class Owner:
    """A worker's store of one table. ``replayed`` counts the changelog records it read when it took partitions over."""

    def __init__(self, store: DrivenStore, app: Any, changelog: Changelog) -> None:
        self.store = store
        self.replayed = 0
        self._app = app
        self._changelog = changelog
        # How far Faust has read each changelog; a rebalance that leaves the partition here does not change it.
        self._read: dict[TP, int] = {}

    async def take_over(self, *partitions: int, batch: int = 1000) -> None:
        """Do what Faust does when partitions are assigned."""
        await self.rebalance(*partitions)
        await self.recover(*partitions, batch=batch)

    async def rebalance(self, *partitions: int) -> None:
        """Assign partitions; nothing is read yet."""
        places = {TP(TOPIC, partition) for partition in partitions}
        self._app.assignor.assigned_actives = lambda: places
        self._app.assignor.assigned_standbys = set
        self._read = {place: offset for place, offset in self._read.items() if place in places}
        await self.store.on_rebalance(places, set(), places)

    async def recover(self, *partitions: int, batch: int = 1000) -> None:
        """Replay what the store lacks."""
        for partition in sorted(partitions):
            self.read(partition, batch=batch)
        await self.complete(*partitions)

    def read(self, partition: int, batch: int = 1000, *, most: int | None = None) -> None:
        """Read a partition's changelog from where Faust does, ``most`` records of it or all."""
        place = TP(TOPIC, partition)
        persisted = self.store.persisted_offset(place)
        if persisted is not None:
            self._read[place] = persisted
        start = self._read.get(place, -1) + 1
        events = [
            SimpleNamespace(message=SimpleNamespace(tp=place, partition=partition, offset=o, key=k, value=v))
            for o, (k, v) in list(enumerate(self._changelog.records[partition]))[start:][:most]
        ]
        self.replayed += len(events)
        self._read[place] = start + len(events) - 1
        for at in range(0, len(events), batch):
            self.store.apply_changelog_batch(events[at : at + batch], None, None)
        self.store.apply_changelog_batch([], None, None)

    async def complete(self, *partitions: int) -> None:
        """End a restore."""
        await self.store.on_recovery_completed({TP(TOPIC, partition) for partition in partitions}, set())

    async def write(self, items: dict[bytes, bytes], partition: int = 0) -> None:
        """Do what a flush does."""
        await self.store.save(partition, items)
        await self.store.reach(partition, self._changelog.write(items, partition))

    async def heads(self, symbol: str, partition: int = 0, venue: str = "kraken_spot") -> dict[bytes, bytes]:
        """Return what is stored of a market."""
        return dict(await self.store.load(partition, prefix(venue, symbol)))


OwnerFactory = Callable[..., Awaitable[Owner]]


def item(symbol: str, offset: int, watermark: int = 0, venue: str = "kraken_spot") -> dict[bytes, bytes]:
    """Return a market's head that contains a source offset."""
    return {head_key(venue, symbol): encode(Head(offset, watermark, {}))}


LATER = {
    head_key("kraken_spot", "BTC/USD"): msgspec.msgpack.encode([5, "another clock", {}, {}, 2, {"release": "9.9.9"}]),
    b"kraken_spot|BTC/USD|3": msgspec.msgpack.encode([5, 3, [None] * 32, 1, {"kind": "spot"}, None]),
    b"kraken_spot|BTC/USD|coverage": msgspec.msgpack.encode([5, "heard until", 7.5]),
    b"kraken_spot|BTC/USD|stats|hour": msgspec.msgpack.encode([5]),
    b"kraken_spot|ETH/USD|coverage": msgspec.msgpack.encode([4, {}]),
}
"""What a later release may have left in a table: other formats, additions, other keys."""

LATER_OF_NO_MARKET = {b"coverage|kraken_spot": msgspec.msgpack.encode([5, 1]), b"slots": msgspec.msgpack.encode([5])}


@pytest.fixture
def changelog(monkeypatch: pytest.MonkeyPatch) -> Changelog:
    """Give a changelog, which the Redis store asks for its end."""
    changelog = Changelog()
    monkeypatch.setattr(redis_store, "cluster_and_ends", changelog.ends)
    monkeypatch.setattr(redis_store, "deliver", changelog.deliver)
    return changelog


@pytest.fixture
async def new_owner(changelog: Changelog, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Give a function that makes the owner of some partitions, with a store of a kind.

    Owners of a kind share Redis; those with the same ``directory`` share a disk, one after the other.
    """
    owners: list[Owner] = []

    async def make(kind: str, *partitions: int, directory: str = "one", url: str = "", table: str = "panes") -> Owner:
        table_store = f"{kind}://"
        if kind == "redis":
            table_store = url or request.getfixturevalue("redis_url")
        settings = load_settings(table_store=table_store, data_dir=tmp_path / directory)
        settings.data_dir.mkdir(exist_ok=True)
        app = faust.App("test", store=DRIVERS[kind], datadir=str(settings.data_dir))
        app.settings = settings
        app.consumer_generation_id = 0
        owner = Owner(app.Table(table, partitions=4).data, app, changelog)
        owners.append(owner)
        if partitions:
            await owner.take_over(*partitions)
        return owner

    yield make
    for owner in owners:
        await owner.store.stop()
