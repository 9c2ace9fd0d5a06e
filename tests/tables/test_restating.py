"""What a worker writes that has lost its partition: the owner finds it and writes its own values again behind it."""

import asyncio
from random import Random
from typing import NamedTuple

import pytest
from faust.types import TP

from streams.errors import Outage
from streams.kafka.outbound import Record
from tables.restating import Restating
from tables.stale_writes import MAX_STRETCHES, OwnWrites, Stretch
from tables.stores.base import newer
from tests.memory_broker import MemoryBroker, MemoryState
from tests.tables.keeping import CHANGELOG, Worker, count
from tests.waiting import until


class Group:
    """An owner of partition 0, and a worker that has lost it, on one changelog."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.owner = Worker(self.broker)
        self.zombie = Worker(self.broker)
        self.owner.begins[0] = 0
        self.is_away = False
        self.restating = Restating(self.owner.keeper, self.read)

    async def read(self, partition: int, stretch: Stretch) -> dict[bytes, bytes]:
        """Return the last value of each key in a stretch of the changelog."""
        await asyncio.sleep(0)
        if self.is_away:
            raise Outage("the broker does not answer")
        records = [record for record in self.broker.of(CHANGELOG) if record.partition == partition]
        return {record.key: record.value for record in records[stretch.start : stretch.end]}

    async def look(self) -> None:
        """Look as the watch does."""
        await self.restating.look(dict(self.owner.keeper.reached), {0: len(self.broker.of(CHANGELOG))})

    def stale(self) -> list[bytes]:
        """Return the keys of which compaction would keep another value than a restore does."""
        return stale_in(self.broker)


def stale_in(broker: MemoryBroker) -> list[bytes]:
    """Return the keys of which compaction would keep another value than a restore does."""
    last: dict[bytes, bytes] = {}
    newest: dict[bytes, bytes] = {}
    for record in broker.of(CHANGELOG):
        last[record.key] = record.value
        if newer(newest.get(record.key), record.value):
            newest[record.key] = record.value
    return [key for key, value in last.items() if value != newest[key]]


class Read(NamedTuple):
    """A record of the changelog, as a restore reads it."""

    key: bytes
    value: bytes
    offset: int
    partition: int = 0
    tp: TP = TP(CHANGELOG, 0)


def heir_of(group: Group) -> Worker:
    """Return a worker that has restored the changelog."""
    heir = Worker(group.broker, MemoryState())
    for offset, record in enumerate(group.broker.of(CHANGELOG)):
        read = Read(record.key, record.value, offset)
        if heir.state.overtaken(0).replaces(read, record.key, heir.state.items[0].get(record.key)):
            heir.state.items[0][record.key] = record.value
    heir.begins[0] = len(group.broker.of(CHANGELOG))
    return heir


@pytest.fixture
async def group() -> Group:
    """Give a group in which the zombie froze with a trade in hand, and the owner is some trades further."""
    group = Group()
    await group.zombie.trade("A/USD", 0)
    for second in range(3):
        await group.owner.trade("A/USD", second)
        await group.owner.keeper.flush()
    return group


async def test_what_a_worker_wrote_that_had_lost_the_partition_is_written_over(group: Group) -> None:
    """Compaction keeps the last value of a key: without this, that would be the old one."""
    await group.zombie.keeper.flush()
    assert len(group.stale()) == 2
    await group.look()
    assert group.stale() == []


async def test_it_is_found_between_the_owners_own_records_too(group: Group) -> None:
    """The owner writes other markets meanwhile."""
    await group.zombie.keeper.flush()
    await group.owner.trade("B/USD", 5)
    await group.owner.keeper.flush()
    assert len(group.stale()) == 2
    await group.look()
    assert group.stale() == []


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x91" * 5000])
async def test_what_no_release_wrote_is_written_over(group: Group, junk: bytes) -> None:
    """Any program can send to a topic."""
    keys = {record.key for record in group.broker.of(CHANGELOG)}
    for key in (*keys, b"", b"\xff", b"x|Y|head"):
        await group.broker.send(Record(CHANGELOG, key, junk, 0))
    await group.look()
    last = {record.key: record.value for record in group.broker.of(CHANGELOG)}
    assert junk not in {last[key] for key in keys}


async def test_an_owner_that_is_alone_writes_nothing_twice(group: Group) -> None:
    before = len(group.broker.of(CHANGELOG))
    for _ in range(3):
        await group.look()
    await group.owner.trade("A/USD", 9)
    await group.owner.keeper.flush()
    await group.look()
    assert len(group.broker.of(CHANGELOG)) == before + 2


async def test_a_look_during_a_flush_takes_nothing_for_foreign(group: Group) -> None:
    """Records that are under way lie behind what is known to be the owner's."""
    await group.owner.trade("A/USD", 9)
    reached = dict(group.owner.keeper.reached)
    ends = {0: len(group.broker.of(CHANGELOG)) + 2}
    group.broker.hold()
    flush = asyncio.create_task(group.owner.keeper.flush())
    await until(lambda: len(group.broker.waiting) == 2)
    assert group.owner.keeper.foreign_writes(reached, ends) == {}
    group.broker.release()
    await flush
    assert group.owner.keeper.foreign_writes(reached, ends) == {}


async def test_what_cannot_be_read_is_looked_at_again(group: Group) -> None:
    await group.zombie.keeper.flush()
    group.is_away = True
    with pytest.raises(Outage):
        await group.look()
    group.is_away = False
    await group.look()
    assert group.stale() == []


async def test_a_partition_that_cannot_be_read_holds_up_no_other(group: Group) -> None:
    """The leader of one may be away for long, and that of another not."""
    group.owner.begins[1] = 0
    group.zombie.offset = 0
    await group.zombie.trade("B/USD", 0, partition=1)
    await group.owner.trade("B/USD", 1, partition=1)
    await group.owner.keeper.flush()
    await group.zombie.keeper.flush()
    reached = dict(group.owner.keeper.reached)
    ends = {at: sum(record.partition == at for record in group.broker.of(CHANGELOG)) for at in (0, 1)}
    assert group.owner.keeper.foreign_writes(reached, ends).keys() == {0, 1}

    async def read(partition: int, stretch: Stretch) -> dict[bytes, bytes]:
        if partition == 0:
            raise Outage("the broker does not answer")
        return await group.read(partition, stretch)

    with pytest.raises(Outage):
        await Restating(group.owner.keeper, read).look(reached, ends)
    assert group.owner.keeper.foreign_writes(reached, ends).keys() == {0}
    assert {key.split(b"|")[1] for key in group.stale()} == {b"A/USD"}


async def test_what_a_restore_met_behind_newer_values_is_written_over(group: Group) -> None:
    """The owner before was gone within seconds, and could not do it."""
    await group.zombie.keeper.flush()
    heir = heir_of(group)
    await heir.keeper.market(0, "kraken_spot", "A/USD")
    await Restating(heir.keeper, group.read).look({}, {0: len(group.broker.of(CHANGELOG))})
    assert group.stale() == []


@pytest.mark.parametrize("is_flush", [False, True], ids=["look", "flush"])
async def test_what_could_not_be_written_over_is_written_over_later(group: Group, is_flush: bool) -> None:
    """Whatever went wrong: nobody else would ever do it."""
    await group.zombie.keeper.flush()
    heir = heir_of(group)
    heir.offset = group.owner.offset
    await heir.trade("B/USD", 4)
    group.broker.on_send = lambda _: RuntimeError("nobody expected this")
    with pytest.raises(RuntimeError):
        await (heir.keeper.flush() if is_flush else heir.keeper.restate_restored())
    group.broker.on_send = lambda _: None
    await heir.keeper.restate_restored()
    assert group.stale() == []


async def test_an_heir_writes_over_them_before_its_store_claims_more(group: Group) -> None:
    """If it ended in between, its next restore would begin behind them."""
    await group.zombie.keeper.flush()
    heir = heir_of(group)
    known = heir.state.overtaken(0).known_to(len(group.broker.of(CHANGELOG)) - 1)
    assert known == len(group.broker.of(CHANGELOG)) - 3
    heir.offset = group.owner.offset
    await heir.trade("B/USD", 4)
    await heir.keeper.flush()
    assert group.stale() == []
    assert heir.state.overtaken(0).known_to(99) == 99


async def test_the_worker_that_has_lost_it_restates_nothing(group: Group) -> None:
    """It may not know yet: what it finds is newer than its own."""
    group.zombie.begins[0] = 0
    await group.zombie.keeper.flush()
    before = len(group.broker.of(CHANGELOG))
    await Restating(group.zombie.keeper, group.read).look(dict(group.zombie.keeper.reached), {0: before})
    assert len(group.broker.of(CHANGELOG)) == before


async def test_a_partition_that_moves_meanwhile_is_left_alone(group: Group) -> None:
    await group.zombie.keeper.flush()
    before = len(group.broker.of(CHANGELOG))
    group.owner.state.hold()
    looking = asyncio.create_task(group.look())
    await until(lambda: group.owner.state.held)
    group.owner.keeper.forget([0])
    group.owner.state.release()
    await looking
    assert len(group.broker.of(CHANGELOG)) == before


async def test_the_store_claims_nothing_behind_what_nobody_has_looked_at(group: Group) -> None:
    """The partition moves before the owner looks. The next restore must meet it, in this store too."""
    await group.owner.keeper.confirm(await group.owner.keeper.flush())
    await group.zombie.keeper.flush()
    written = len(group.broker.of(CHANGELOG))
    await group.owner.trade("B/USD", 5)
    await group.owner.keeper.confirm(await group.owner.keeper.flush())
    assert group.owner.state.offsets[0] < written - 2
    await group.look()
    await group.owner.trade("B/USD", 6)
    await group.owner.keeper.confirm(await group.owner.keeper.flush())
    assert group.owner.state.offsets[0] == len(group.broker.of(CHANGELOG)) - 1


async def test_what_was_under_way_while_the_partition_came_back_is_not_taken_for_the_owners(group: Group) -> None:
    """Another worker may have served it meanwhile: these values are looked at as anybody's."""
    await group.owner.trade("A/USD", 9)
    group.broker.hold()
    flush = asyncio.create_task(group.owner.keeper.flush())
    await until(lambda: len(group.broker.waiting) == 2)
    group.owner.keeper.forget([0])
    await group.owner.keeper.market(0, "kraken_spot", "A/USD")
    begin = group.owner.begins[0] = len(group.broker.of(CHANGELOG))
    group.owner.keeper.foreign_writes({}, {})
    group.broker.release()
    await flush
    ends = {0: len(group.broker.of(CHANGELOG))}
    found = group.owner.keeper.foreign_writes(dict(group.owner.keeper.reached), ends)
    assert found == {0: (Stretch(begin, begin + 2),)}


class Moving:
    """Two workers with stores of their own, to which partition 0 moves in turn, on one changelog.

    ``log`` holds each trade's (symbol, second), and ``committed`` is the first that the next owner counts.
    """

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.workers = [Worker(self.broker, MemoryState()) for _ in range(2)]
        self.log: list[tuple[str, int]] = []
        self.committed = 0

    @property
    def owner(self) -> Worker:
        """Who serves the partition."""
        return self.workers[0]

    async def trade(self, symbol: str, second: int) -> None:
        """Count one trade where the partition is served."""
        self.log.append((symbol, second))
        await self._count(len(self.log) - 1)

    async def _count(self, offset: int) -> None:
        market = await self.owner.keeper.market(0, "kraken_spot", self.log[offset][0])
        if market.offset < offset:
            count(market, self.log[offset][1], 1, offset)

    async def look(self) -> None:
        """Look as the owner's watch does."""
        ends = {0: len(self.broker.of(CHANGELOG))}

        async def read(_: int, stretch: Stretch) -> dict[bytes, bytes]:
            await asyncio.sleep(0)
            return {record.key: record.value for record in self.broker.of(CHANGELOG)[stretch.start : stretch.end]}

        await Restating(self.owner.keeper, read).look(dict(self.owner.keeper.reached), ends)

    async def commit(self) -> None:
        """Make what was counted durable, and let the store claim it."""
        claims = await self.owner.keeper.flush()
        self.committed = len(self.log)
        await self.owner.keeper.confirm(claims)

    async def rebalance(self, *, moves: bool) -> None:
        """Assign the partition: its owner, the other one where it moves, restores what its store does not claim."""
        if moves:
            self.workers.reverse()
        heir = self.owner
        heir.keeper.forget([0])
        begin = heir.state.offsets.get(0, -1) + 1
        for offset, record in list(enumerate(self.broker.of(CHANGELOG)))[begin:]:
            read = Read(record.key, record.value, offset)
            if heir.state.overtaken(0).replaces(read, record.key, heir.state.items[0].get(record.key)):
                heir.state.items[0][record.key] = record.value
        reached = len(self.broker.of(CHANGELOG)) - 1
        if (known := heir.state.overtaken(0).known_to(reached)) >= 0:
            heir.state.offsets[0] = known
        heir.begins[0] = reached + 1
        heir.keeper.begin_loads([0])
        await heir.keeper.preload([0], 60)
        for offset in range(self.committed, len(self.log)):
            await self._count(offset)


@pytest.mark.parametrize("seed", range(30))
async def test_wherever_the_partition_moves_nothing_stale_is_left(seed: int) -> None:
    """Who has lost it flushes once more now and then, and does not know better."""
    random = Random(seed)
    moving = Moving()
    for step in range(80):
        await moving.trade(f"{random.choice('ABCDEFGH')}/USD", step)
        if random.random() < 0.3:
            await moving.commit()
        if random.random() < 0.15:
            await moving.look()
        if random.random() < 0.2:
            await moving.rebalance(moves=random.random() < 0.6)
        if random.random() < 0.1:
            await moving.workers[1].keeper.flush()
    await moving.look()
    await moving.commit()
    await moving.look()
    assert stale_in(moving.broker) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
async def test_in_any_order_of_flushes_and_looks_nothing_stale_is_left(seed: int) -> None:
    random = Random(seed)
    group = Group()
    for step in range(60):
        who = random.choice((group.owner, group.owner, group.zombie))
        behind = who is group.zombie
        await who.trade(random.choice(("A/USD", "B/USD")), step - 30 if behind else step)
        if behind:
            who.offset = min(who.offset, group.owner.offset)
        if random.random() < 0.5:
            await who.keeper.flush()
        if random.random() < 0.3:
            await group.look()
    await group.zombie.keeper.flush()
    await group.owner.keeper.flush()
    await group.look()
    await group.look()
    assert group.stale() == [], f"seed {seed}"


def test_of_many_stretches_none_is_forgotten() -> None:
    own = OwnWrites(0)
    own.wrote(range(1, 3000, 2))
    assert len(own.foreign) == MAX_STRETCHES
    assert own.foreign[0] == Stretch(0, 2 * (1500 - MAX_STRETCHES) + 1)
    assert own.known_to(2999) == -1


def test_offsets_between_a_workers_own_are_somebody_elses() -> None:
    own = OwnWrites(10)
    own.wrote([12, 10, 11])
    assert not own.foreign
    own.wrote([15, 16])
    own.ends_at(20)
    assert list(own.foreign) == [Stretch(13, 15), Stretch(17, 20)]
    own.looked_at(Stretch(13, 15))
    assert list(own.foreign) == [Stretch(17, 20)]
