"""What only a store that all replicas share can meet: outages, others' writes, lost and foreign state."""

import asyncio
import contextlib
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis
from faust.types import TP

from streams import redis_link
from streams.errors import Fatal, Outage
from tables.market.chunk import Chunk
from tables.market.chunks import chunk_key, encode, prefix, shifted
from tables.stores import patience, redis_values
from tables.stores import redis as redis_store
from tables.stores.redis import StoreLost
from tables.stores.wiped import OLD_LOG
from tests.faults.proxy import Proxy
from tests.formats.content import TABLE_ITEMS
from tests.formats.samples import VERSIONS, sample
from tests.lost_writes import writes_that_fail
from tests.said import said_by
from tests.tables.stores.conftest import LATER, LATER_OF_NO_MARKET, TOPIC, Changelog, Owner, OwnerFactory, item
from tests.waiting import until

META = "liqmon:table:test:panes:0:meta"


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    """Give the Redis itself."""
    return redis.Redis.from_url(redis_url)


@pytest.fixture
async def owner(new_owner: OwnerFactory) -> Owner:
    """Give the owner of partition 0."""
    return await new_owner("redis", 0)


@pytest.fixture
async def network(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Give a network to Redis that can be bad, and a store that tries again soon."""
    monkeypatch.setattr(patience, "LAST_RETRY_SECONDS", 0.1)
    async with Proxy(urlsplit(redis_url).port or 0) as proxy:
        yield proxy


def keys_of(server: redis.Redis) -> list[bytes]:
    """Return every key."""
    return list(server.scan_iter("*"))


class TestReplicas:
    """State that all share."""

    async def test_what_one_wrote_every_other_reads(self, owner: Owner, new_owner: OwnerFactory) -> None:
        """Without a changelog, a disk or a standby of its own."""
        await owner.write(item("BTC/USD", 1))
        other = await new_owner("redis", 0, directory="two")
        assert other.replayed == 0
        assert await other.heads("BTC/USD") == item("BTC/USD", 1)
        assert not await other.store.need_active_standby_for(TP(TOPIC, 0))

    @pytest.mark.parametrize("others", [(1,), ()], ids=["owner of another", "owner of none"])
    async def test_any_replica_reads_what_it_does_not_serve(
        self, owner: Owner, new_owner: OwnerFactory, others: tuple[int, ...]
    ) -> None:
        """Every key of a market, as its owner last wrote it, and takes nothing over by that."""
        chunk = {chunk_key("kraken_spot", "BTC/USD", 17): encode(Chunk(1, 0, []))}
        reader = await new_owner("redis", *others)
        assert await reader.store.peek(0, prefix("kraken_spot", "BTC/USD")) == []
        for offset in (1, 2):
            await owner.write(item("BTC/USD", offset) | chunk)
            assert dict(await reader.store.peek(0, prefix("kraken_spot", "BTC/USD"))) == item("BTC/USD", offset) | chunk
        assert await reader.store.peek(0, prefix("kraken_spot", "ETH/USD")) == []
        await owner.write(item("BTC/USD", 3))

    async def test_a_frozen_owner_cannot_overwrite_its_successor(self, owner: Owner, new_owner: OwnerFactory) -> None:
        """Key by key: what it had newer counts, what it had older does not, and the changelog offset never falls."""
        await owner.write(item("BTC/USD", 1))
        heir = await new_owner("redis", 0)
        await heir.write(item("BTC/USD", 8) | item("SOL/USD", 8))
        await owner.store.save(0, item("BTC/USD", 7) | item("ETH/USD", 7))
        await owner.store.reach(0, 0)
        assert await heir.heads("BTC/USD") == item("BTC/USD", 8)
        assert await heir.heads("ETH/USD") == item("ETH/USD", 7)
        again = await new_owner("redis", 0)
        assert again.store.persisted_offset(TP(TOPIC, 0)) == 2
        await heir.write(item("BTC/USD", 9))

    async def test_offsets_of_any_size_are_compared(self, owner: Owner) -> None:
        """As numbers, up to what a partition can hold in centuries."""
        for offset in (0, 9, 10, 255, 256, 2**31, 2**32 + 1, 2**52):
            await owner.write(item("BTC/USD", offset, watermark=1))
            await owner.write(item("BTC/USD", offset - 1, watermark=2))
            assert await owner.heads("BTC/USD") == item("BTC/USD", offset, watermark=1)

    async def test_tables_are_apart(self, owner: Owner, new_owner: OwnerFactory, server: redis.Redis) -> None:
        """Another table of the same program is other state; faust reset deletes only its own."""
        other = await new_owner("redis", table="other")
        assert await owner.heads("BTC/USD") == {}
        await owner.write(item("BTC/USD", 1))
        other.store.reset_state()
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        owner.store.reset_state()
        assert server.keys("liqmon:table:*") == []

    async def test_nothing_expires(self, owner: Owner, server: redis.Redis) -> None:
        """State that a policy such as volatile-ttl must never drop."""
        await owner.write(item("BTC/USD", 1))
        assert {server.ttl(key) for key in keys_of(server)} == {-1}

    async def test_a_redis_that_drops_keys_is_refused(self, new_owner: OwnerFactory, server: redis.Redis) -> None:
        """State would vanish unnoticed; the message says what to set."""
        policy = server.config_get("maxmemory-policy")["maxmemory-policy"] or ""
        server.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(Fatal, match=r"maxmemory-policy allkeys-lru.*set it to noeviction"):
                await new_owner("redis", 0)
        finally:
            server.config_set("maxmemory-policy", policy)


class TestFormats:
    """What each release left in Redis is read, and written as it was."""

    async def test_the_same_items_are_the_same_bytes(self, owner: Owner, server: redis.Redis) -> None:
        """Every key, field and member."""
        await owner.write(TABLE_ITEMS)
        assert dumped(server) == json.loads(sample(1, "table in redis"))

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_what_a_release_left_is_taken_over(
        self, new_owner: OwnerFactory, changelog: Changelog, server: redis.Redis, version: int
    ) -> None:
        """Without reading the changelog again."""
        for key, held in json.loads(sample(version, "table in redis")).items():
            if isinstance(held, dict):
                server.hset(key, mapping={field: b64decode(value) for field, value in held.items()})
            else:
                server.sadd(key, *held)
        changelog.write(TABLE_ITEMS)
        owner = await new_owner("redis", 0)
        assert owner.replayed == 0
        assert await owner.heads("BTC/USD") == TABLE_ITEMS


def dumped(server: redis.Redis) -> dict[str, Any]:
    """Return all that Redis holds: sets as lists of members, hashes with their values in base64."""
    found: dict[str, Any] = {}
    for key in keys_of(server):
        if server.type(key) == b"set":
            found[key.decode()] = sorted(member.decode() for member in cast("set[bytes]", server.smembers(key)))
        else:
            fields = cast("dict[bytes, bytes]", server.hgetall(key))
            found[key.decode()] = {field.decode(): b64encode(value).decode() for field, value in fields.items()}
    return found


class TestLostState:
    """Redis is no longer what it was."""

    @pytest.mark.parametrize("how", ["emptied", "old copy", "meta gone"])
    async def test_lost_state_ends_the_owner_and_the_next_restores_it(
        self, owner: Owner, new_owner: OwnerFactory, server: redis.Redis, how: str
    ) -> None:
        """Going on would count windows without the trades that are gone."""
        await owner.write(item("BTC/USD", 1))
        old = {key: server.dump(key) or b"" for key in keys_of(server)}
        await owner.write(item("BTC/USD", 5) | item("ETH/USD", 5))
        if how == "meta gone":
            server.delete(META)
        else:
            server.flushall()
        if how == "old copy":
            for key, value in old.items():
                server.restore(key, 0, value)
        for access in (
            owner.store.load(0, b"kraken_spot|SOL/USD|"),
            owner.store.markets(0),
            owner.store.save(0, item("BTC/USD", 6)),
            owner.store.reach(0, 3),
        ):
            with pytest.raises(StoreLost, match=r"partition 0.*start again to restore it"):
                await access
        heir = await new_owner("redis", 0)
        assert await heir.heads("BTC/USD") == item("BTC/USD", 5)
        assert await heir.heads("ETH/USD") == item("ETH/USD", 5)
        await heir.write(item("BTC/USD", 6))

    @pytest.mark.parametrize("name", ["broker-two", "broker-one"])
    async def test_a_replaced_brokers_state_is_carried_over(
        self,
        owner: Owner,
        new_owner: OwnerFactory,
        changelog: Changelog,
        server: redis.Redis,
        name: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Under its old name or a new one. What the new log has counts; the rest is below it, in its old order."""
        await owner.write(item("BTC/USD", 1000, watermark=1) | item("ETH/USD", 1000, watermark=2))
        changelog.cluster = name
        changelog.records.clear()
        changelog.write(item("BTC/USD", 2, watermark=3))
        heir = await new_owner("redis", 0)
        assert await heir.heads("BTC/USD") == item("BTC/USD", 2, watermark=3)
        assert await heir.heads("ETH/USD") == item("ETH/USD", 1000 - 2**52, watermark=2)
        assert ["the broker was replaced" in line for line in caplog.messages] == [True]
        await heir.write(item("ETH/USD", 3))
        assert await heir.heads("ETH/USD") == item("ETH/USD", 3)
        server.flushall()
        again = await new_owner("redis", 0)
        assert await again.heads("ETH/USD") == item("ETH/USD", 3)
        assert await again.heads("BTC/USD") == item("BTC/USD", 2, watermark=3)

    async def test_a_replaced_brokers_state_of_a_later_release_is_carried_over(
        self, owner: Owner, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """Every byte of it but the offset, whatever its key ends in."""
        items = LATER | LATER_OF_NO_MARKET
        await owner.write(items)
        changelog.cluster = "broker-two"
        changelog.records.clear()
        heir = await new_owner("redis", 0)
        assert {key: shifted(value, OLD_LOG) for key, value in changelog.records[0]} == items
        held = await heir.heads("BTC/USD") | await heir.heads("ETH/USD")
        assert {key: shifted(value, OLD_LOG) for key, value in held.items()} == LATER

    async def test_an_owner_of_the_old_broker_ends(
        self, owner: Owner, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """One that was frozen through it all must not write offsets of the old log."""
        await owner.write(item("ETH/USD", 1000))
        changelog.cluster = "broker-two"
        changelog.records.clear()
        await new_owner("redis", 0)
        with pytest.raises(StoreLost):
            await owner.store.save(0, item("ETH/USD", 1001))

    async def test_state_of_an_embedded_broker_ends_with_it(
        self, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """Each run of it begins with nothing; and it does not touch what a real one left."""
        changelog.cluster = "mockCluster1"
        owner = await new_owner("redis", 0)
        await owner.write(item("BTC/USD", 1000))
        for name in ("mockCluster2", "broker-one"):
            changelog.cluster = name
            changelog.records.clear()
            owner = await new_owner("redis", 0)
            assert await owner.heads("BTC/USD") == {}
            await owner.write(item("BTC/USD", 1000))
        changelog.cluster = "mockCluster3"
        with pytest.raises(Fatal, match="use another database"):
            await new_owner("redis", 0)
        changelog.cluster = "broker-one"
        assert await (await new_owner("redis", 0)).heads("BTC/USD") == item("BTC/USD", 1000)

    async def test_a_restore_cut_short_is_begun_again(
        self, new_owner: OwnerFactory, changelog: Changelog, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its offset is stored with its last values, so half a restore counts for nothing."""
        monkeypatch.setattr(redis_values, "MAX_VALUES_A_CALL", 2)
        for number in range(9):
            changelog.write(item(f"S{number}/USD", number))
        owner = await new_owner("redis")
        calls = 0
        evaluate = redis_link.evaluate

        async def dying(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise asyncio.CancelledError
            return await evaluate(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(redis_store, "evaluate", dying)
        with pytest.raises(asyncio.CancelledError):
            await owner.take_over(0)
        monkeypatch.setattr(redis_store, "evaluate", evaluate)
        assert len(server.keys("*:market:*")) == 6
        assert not server.hexists(META, "offset")
        heir = await new_owner("redis", 0)
        assert heir.replayed == 9
        assert len(await heir.store.markets(0)) == 9


class TestRestoresCutShort:
    """A restore of an empty Redis is written in parts, and may be overtaken between two of them."""

    @pytest.fixture(autouse=True)
    def gate(self, changelog: Changelog, monkeypatch: pytest.MonkeyPatch) -> "Gate":
        """Give the gate before the second of five parts of a restore."""
        monkeypatch.setattr(redis_values, "MAX_VALUES_A_CALL", 2)
        for number in range(9):
            changelog.write(item(f"S{number}/USD", number))
        gate = Gate()
        monkeypatch.setattr(redis_store, "evaluate", gate.evaluate)
        return gate

    async def test_a_restore_that_outlives_its_rebalance_does_not_mix_with_the_next(
        self, new_owner: OwnerFactory, gate: "Gate"
    ) -> None:
        """Faust does not end what follows a restore when the next rebalance begins."""
        owner = await new_owner("redis")
        await owner.rebalance(0)
        owner.read(0)
        writing = asyncio.create_task(owner.complete(0))
        await gate.reached.wait()
        rebalance = asyncio.create_task(owner.rebalance(0))
        await asyncio.sleep(0.05)
        gate.open.set()
        await rebalance
        await writing
        owner.read(0, most=3)
        heir = await new_owner("redis", 0)
        assert len(await heir.store.markets(0)) == 9

    async def test_what_another_partition_has_read_since_is_not_taken_for_all_of_it(
        self, new_owner: OwnerFactory, gate: "Gate", changelog: Changelog
    ) -> None:
        """The restore before goes from one partition to the next, where another has begun."""
        for number in range(9):
            changelog.write(item(f"S{number}/USD", number), partition=1)
        owner = await new_owner("redis")
        await owner.rebalance(0, 1)
        owner.read(0)
        owner.read(1)
        writing = asyncio.create_task(owner.complete(0, 1))
        await gate.reached.wait()
        rebalance = asyncio.create_task(owner.rebalance(0, 1))
        await asyncio.sleep(0.05)
        gate.open.set()
        await rebalance
        owner.read(1, most=3)
        await writing
        await owner.recover(0, 1)
        assert len(await owner.store.markets(1)) == 9

    @pytest.mark.parametrize("how", ["moved", "emptied"])
    async def test_no_restore_claims_what_was_deleted_since_it_began(
        self, new_owner: OwnerFactory, gate: "Gate", server: redis.Redis, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By an owner that begins another restore, and dies; or by whoever emptied Redis."""
        owner = await new_owner("redis")
        await owner.rebalance(0)
        owner.read(0)
        writing = asyncio.create_task(owner.complete(0))
        await gate.reached.wait()
        if how == "moved":
            await (await new_owner("redis")).rebalance(0)
        else:
            server.flushall()
        gate.open.set()
        await writing
        assert "has lost state of partition 0" in caplog.text
        with pytest.raises(StoreLost):
            await owner.store.markets(0)
        heir = await new_owner("redis", 0)
        assert len(await heir.store.markets(0)) == 9


class Gate:
    """Stops the second call of a script until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._calls = 0
        self._evaluate = redis_link.evaluate

    async def evaluate(self, *arguments: Any) -> Any:
        """Do what :func:`streams.redis_link.evaluate` does."""
        self._calls += 1
        if self._calls == 2:
            self.reached.set()
            await self.open.wait()
        return await self._evaluate(*arguments)


class TestOutages:
    """Redis is away: nothing is lost and nothing is acknowledged."""

    @pytest.mark.parametrize("fault", ["gone", "silent", "broken"])
    async def test_every_access_says_so_soon(
        self, new_owner: OwnerFactory, network: Proxy, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        """An outage, which the keeper waits for; afterwards it works again."""
        owner = await new_owner("redis", 0, url=f"redis://{network.address}/0")
        await owner.write(item("BTC/USD", 1))
        if fault == "gone":
            await network.refuse()
        elif fault == "silent":
            network.swallow()
        broken = writes_that_fail(network.port) if fault == "broken" else contextlib.nullcontext()
        with monkeypatch.context() as hasty, broken:
            hasty.setattr(redis_store, "ANSWER_SECONDS", 0.2)
            for access in (
                owner.store.load(0, b"kraken_spot|BTC/USD|"),
                owner.store.markets(0),
                owner.store.peek(0, b"kraken_spot|BTC/USD|"),
                owner.store.save(0, item("BTC/USD", 2)),
                owner.store.reach(0, 1),
            ):
                with pytest.raises(Outage, match="table store in Redis at"):
                    await asyncio.wait_for(access, 2)
        await network.heal()
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        await owner.write(item("BTC/USD", 2))
        assert await owner.heads("BTC/USD") == item("BTC/USD", 2)

    async def test_taking_over_waits_for_redis(
        self, new_owner: OwnerFactory, network: Proxy, changelog: Changelog, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Before the changelog is read, and again before the restored state is used; said once at each end."""
        caplog.set_level(logging.INFO, "tables.stores")
        changelog.write(item("BTC/USD", 1))
        owner = await new_owner("redis", url=f"redis://{network.address}/0")
        await network.refuse()
        taking_over = asyncio.create_task(owner.take_over(0))
        await until(lambda: said_by(caplog, "tables.stores"))
        await asyncio.sleep(0.3)
        assert not taking_over.done()
        await network.heal()
        await taking_over
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        away, back = said_by(caplog, "tables.stores")
        assert "nothing is acknowledged meanwhile" in away
        assert "answers again" in back

    async def test_many_who_ask_at_once_wait_for_each_other(
        self, owner: Owner, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A worker loads its partitions together: that Redis has few connections to it is no outage."""
        await owner.write(item("BTC/USD", 1))
        found = await asyncio.gather(*(owner.heads("BTC/USD") for _ in range(50)))
        assert found == [item("BTC/USD", 1)] * 50
        assert not said_by(caplog, "tables.stores")

    async def test_a_stop_under_a_rebalance_is_no_crash(
        self, new_owner: OwnerFactory, network: Proxy, changelog: Changelog
    ) -> None:
        """The stop closes the connections by which the rebalance asks how far Redis has got."""
        changelog.write(item("BTC/USD", 1))
        owner = await new_owner("redis", url=f"redis://{network.address}/0")
        network.hold()
        rebalancing = asyncio.create_task(owner.rebalance(0))
        await until(lambda: network.open_connections)
        await owner.store.stop()
        await network.heal()
        await rebalancing

    async def test_a_restore_that_redis_does_not_take_waits(
        self, new_owner: OwnerFactory, network: Proxy, changelog: Changelog
    ) -> None:
        """The streams go on only when the state is there."""
        changelog.write(item("BTC/USD", 1))
        owner = await new_owner("redis", url=f"redis://{network.address}/0")
        recover = owner.recover

        async def recover_in_an_outage(*partitions: int, batch: int = 1000) -> None:
            await network.refuse()
            recovering = asyncio.create_task(recover(*partitions, batch=batch))
            await asyncio.sleep(0.3)
            assert not recovering.done()
            await network.heal()
            await recovering

        owner.recover = recover_in_an_outage  # type: ignore[method-assign]
        await owner.take_over(0)
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)

    async def test_a_full_redis_is_an_outage(self, owner: Owner, server: redis.Redis) -> None:
        """Writes are refused until there is room; nothing that was written is harmed."""
        await owner.write(item("BTC/USD", 1))
        limit = server.config_get("maxmemory")["maxmemory"] or ""
        server.config_set("maxmemory", "1")
        try:
            with pytest.raises(Outage, match=r"(?i)memory"):
                await owner.write(item("BTC/USD", 2))
        finally:
            server.config_set("maxmemory", limit)
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        await owner.write(item("BTC/USD", 3))

    async def test_the_password_is_nowhere_to_be_seen(
        self,
        new_owner: OwnerFactory,
        server: redis.Redis,
        network: Proxy,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Not in the log, in errors, or in what Faust shows of a store."""
        server.acl_setuser("tester", enabled=True, passwords=["+secret-word"], keys=["*"], commands=["+@all"])
        owner = await new_owner("redis", 0, url=f"redis://tester:secret-word@{network.address}/0")
        await owner.write(item("BTC/USD", 1))
        await network.refuse()
        with pytest.raises(Outage) as caught:
            await owner.heads("BTC/USD")
        shown = f"{caught.value!r} {owner.store!r} {owner.store} {owner.store.label} {caplog.text}"
        assert "secret-word" not in shown
