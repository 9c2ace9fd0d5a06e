"""Market state in Redis, which every replica can read: each market has a hash.

A partition's state comes with the changelog offset that it stands for. So an owner reads only what its predecessor had
not written, usually nothing, and standbys have nothing to do. Everything that waits for Redis waits asynchronously.
What Faust calls synchronously works on memory.
"""

import asyncio
import contextlib
import functools
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

import msgspec
import redis
from faust.stores import base
from faust.types import TP

from streams import keys, metrics
from streams.errors import Fatal, Outage
from streams.kafka.admin import KAFKA, cluster_and_ends, is_embedded, open_producer
from streams.kafka.outbound import Outbound, Record
from streams.redis_link import REDIS, Script, address_of, connect, evaluate, tls_options
from streams.secured import redis_files
from streams.settings import Settings
from tables.market.chunks import shifted
from tables.stores.base import NOTHING, ChangelogEvent, Items, Overtaken, StoreApp
from tables.stores.patience import until_answered
from tables.stores.redis_scripts import LOAD, LOST, MARKETS, SAVE
from tables.stores.redis_values import Argument, as_stored, items_from, parts_of, value_of
from tables.stores.wiped import OLD_LOG

log = logging.getLogger(__name__)

# The slowest script here takes about 2 ms. A Redis that says nothing for so long is away, and patience.py asks again.
ANSWER_SECONDS: Final = 5.0
# UNLINK of as many markets of 120 values takes 3 ms (measured), about as long as the scripts.
MAX_KEYS_A_DELETE: Final = 1000


class StoreLost(Fatal):
    """Redis no longer has what it had acknowledged. Starting again restores it from the changelog."""


class _Restore(msgspec.Struct):
    """What was read of a partition's changelog since the last rebalance, and is not yet written.

    ``reached`` is the changelog offset that it stands for, together with what Redis has. If Redis has nothing, there is
    a ``token``.
    """

    reached: int
    token: str = ""
    items: dict[bytes, bytes] = {}


class Store(base.Store):  # type: ignore[misc]
    """A Faust store driver for ``redis://``. Values are read and written by market; the mapping interface is not."""

    def __init__(self, url: object, app: StoreApp, table: object, **options: object) -> None:
        super().__init__(url, app, table, **options)
        # Faust shows a store's URL: it is given one without the password.
        self._url: str = app.settings.table_store
        self._files = redis_files(app.settings)
        self._client = connect(self._url, self._files)
        self._cluster = ""
        self._offsets: dict[int, int] = {}
        self._restores: dict[int, _Restore] = {}
        self._overtaken: dict[int, Overtaken] = {}
        # Faust lets what follows a restore go on when the next rebalance begins another.
        self._restoring = asyncio.Lock()

    # What the keeper uses

    async def load(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a market, whose keys begin with ``prefix``. Raises as :meth:`save`."""
        market = prefix[:-1].decode()
        flat = await self._call(LOAD, partition, [self._key(keys.table_market, partition, market)])
        return items_from(prefix, zip(flat[::2], flat[1::2], strict=True))

    async def peek(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a market as whoever serves its partition last stored them. Raises :class:`Outage`."""
        key = self._key(keys.table_market, partition, prefix[:-1].decode())
        return items_from(prefix, (await self._answer(self._client.hgetall(key))).items())

    async def save(self, partition: int, items: Items) -> None:
        """Write items. Raises :class:`Outage`, :class:`StoreLost`."""
        await self._save(partition, items, None)

    async def reach(self, partition: int, changelog_offset: int) -> None:
        """Store how much of the changelog is here. Raises as :meth:`save`."""
        await self._save(partition, {}, changelog_offset)

    async def markets(self, partition: int) -> list[tuple[str, str]]:
        """Return the (venue, symbol) of every market of a partition. Raises as :meth:`save`."""
        names = await self._call(MARKETS, partition, [self._key(keys.table_markets, partition)])
        # The name without a bar is that of what belongs to no market.
        return [(venue, symbol) for venue, bar, symbol in (name.decode().partition("|") for name in names) if bar]

    def overtaken(self, partition: int) -> Overtaken:
        """Return what restores of a partition found behind newer values of the same keys."""
        return self._overtaken.setdefault(partition, Overtaken())

    # What Faust uses

    def persisted_offset(self, tp: TP) -> int:
        """Return the changelog offset that the state contains, as found when the partition was assigned."""
        # Faust takes None for "as far as you have read", which the last rebalance made this store forget.
        return self._offsets.get(tp.partition, NOTHING)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Do nothing: the offset is written with the state it stands for."""

    async def need_active_standby_for(self, tp: TP) -> bool:  # noqa: ARG002 - Faust's interface
        """Return false: whoever takes a partition over finds its state in Redis."""
        return False

    async def on_rebalance(
        self,
        assigned: set[TP],  # noqa: ARG002 - Faust's interface
        revoked: set[TP],  # noqa: ARG002
        newly_assigned: set[TP],  # noqa: ARG002
        generation_id: int = 0,  # noqa: ARG002
    ) -> None:
        """Find out how far the state of the partitions served from now on goes. Waits for Redis and the broker."""
        topic = self.table.changelog_topic_name
        active = sorted(tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic)
        self._restores = {}
        async with self._restoring:
            if active:
                begin = functools.partial(self._begin_restores, topic, active)
                try:
                    self._restores = await until_answered(begin, wanted=self._is_wanted)
                except Outage:
                    # A stop closes the connections under a rebalance. That is no reason to crash, as Faust would.
                    if self._is_wanted():
                        raise

    def apply_changelog_batch(
        self,
        batch: Sequence[ChangelogEvent],
        to_key: Callable[[bytes], object],  # noqa: ARG002 - Faust's interface; keys and values are bytes here
        to_value: Callable[[bytes], object],  # noqa: ARG002
    ) -> None:
        """Take over what the state lacks; of two values of a key the one with the higher source offset stays."""
        metrics.restored_records.inc(len(batch))
        for event in batch:
            message = event.message
            restore = self._restores.get(message.partition)
            if restore is None:
                continue
            restore.reached = message.offset
            key, value = message.key, message.value
            if value is None or key is None:
                continue
            if self.overtaken(message.partition).replaces(message, key, restore.items.get(key)):
                restore.items[key] = value

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:  # noqa: ARG002
        """Write what was read of the changelogs. Waits for Redis: nothing is consumed before it has it."""
        restores = self._restores

        def is_wanted() -> bool:
            return self._is_wanted() and self._restores is restores

        try:
            for partition in sorted(tp.partition for tp in active_tps):
                async with self._restoring:
                    restore = restores.get(partition)
                    if restore is None or self._restores is not restores:
                        continue
                    items, restore.items = restore.items, {}
                    overtaken = self.overtaken(partition)
                    known = overtaken.known_to(restore.reached)
                    write = functools.partial(self._save, partition, items, known, restore.token)
                    if await until_answered(write, wanted=is_wanted):
                        # Redis did not say which of them are older than what it has.
                        overtaken.add(items)
        except (Outage, StoreLost) as error:
            # Faust takes no notice of errors here; the next access meets the same one and ends the process.
            if self._restores is restores:
                log.error("%s", error)  # noqa: TRY400 - the text says it all

    def reset_state(self) -> None:
        """Delete the table (``faust reset``)."""
        options = tls_options(self._url, self._files)
        with redis.Redis.from_url(self._url, socket_timeout=ANSWER_SECONDS, **options) as client:
            for key in client.scan_iter(f"{keys.table_prefix(self.app.conf.id, self.table_name)}*", count=1000):
                client.unlink(key)

    async def backup_partition(self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1) -> None:  # noqa: FBT001, FBT002 - Faust's interface
        """Not done here: a backup of Redis holds the tables."""
        raise NotImplementedError("back Redis up instead")

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:  # noqa: FBT001, FBT002
        """Not done here either."""
        raise NotImplementedError("restore Redis instead; what it lacks is taken from the changelog")

    async def on_stop(self) -> None:
        """Close the connections."""
        with contextlib.suppress(Outage), REDIS.asked("Redis"):
            await self._client.aclose()

    def __getitem__(self, key: object) -> NoReturn:
        raise NotImplementedError("state in Redis is read by market: use load()")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise NotImplementedError("state in Redis is written by flush: use save()")

    def __delitem__(self, key: object) -> NoReturn:
        raise NotImplementedError("state in Redis is never deleted: rings of chunks do not grow")

    # How it is done

    def _is_wanted(self) -> bool:
        return not (self.should_stop or self.app.should_stop)

    def _key(self, make: Callable[..., str], partition: int, *rest: str) -> str:
        return make(self.app.conf.id, self.table_name, partition, *rest)

    async def _begin_restores(self, topic: str, partitions: Sequence[int]) -> dict[int, _Restore]:
        """Read how far each partition's state goes; state of a broker that was replaced is carried over first."""
        self._cluster, ends = await cluster_and_ends(self.app.settings, topic)
        await self._check_policy()
        restores = {}
        for partition in partitions:
            self._offsets.pop(partition, None)
            meta = self._key(keys.table_meta, partition)
            cluster, offset = await self._answer(self._client.hmget(meta, ["cluster", "offset"]))
            if offset is not None and cluster == self._cluster.encode() and int(offset) < ends[partition]:
                self._offsets[partition] = int(offset)
                restores[partition] = _Restore(int(offset))
                continue
            if offset is not None:
                await self._carry_over(topic, partition, cluster.decode())
            restores[partition] = _Restore(NOTHING, await self._clear(partition))
        return restores

    async def _carry_over(self, topic: str, partition: int, old_cluster: str) -> None:
        """Send the state to the new changelog, as :mod:`tables.stores.wiped` does. What is embedded lives for a run."""
        if is_embedded(self._cluster) and not is_embedded(old_cluster):
            raise Fatal(
                f"TABLE_STORE holds the state of another broker ({old_cluster}), and the embedded one is only for "
                "this run: use another database of that Redis"
            )
        if is_embedded(old_cluster):
            return
        names = await self._answer(self._client.smembers(self._key(keys.table_markets, partition)))
        records = []
        for name in names:
            market = await self._answer(self._client.hgetall(self._key(keys.table_market, partition, name.decode())))
            for field, value in market.items():
                moved = shifted(value_of(value), -OLD_LOG)
                key = b"%b|%b" % (name, field) if name else field
                records.append(Record(topic, key, moved, partition))
        log.warning(
            "the broker was replaced: carrying %d values of partition %d in Redis over to its changelog",
            len(records),
            partition,
        )
        await deliver(self.app.settings, records)

    async def _clear(self, partition: int) -> str:
        """Empty a partition; return the token of the one restore that may claim to fill it."""
        token = uuid.uuid4().hex
        # The token first: no other restore, here or of an owner before, may claim what is deleted from here on.
        meta = self._key(keys.table_meta, partition)
        await self._answer(self._client.hset(meta, "restore", token))
        await self._answer(self._client.hdel(meta, "cluster", "offset"))
        markets = self._key(keys.table_markets, partition)
        names = [name.decode() for name in await self._answer(self._client.smembers(markets))]
        found = [*(self._key(keys.table_market, partition, name) for name in names), markets]
        for at in range(0, len(found), MAX_KEYS_A_DELETE):
            await self._answer(self._client.unlink(*found[at : at + MAX_KEYS_A_DELETE]))
        return token

    async def _check_policy(self) -> None:
        """Raise :class:`Fatal` where Redis drops whatever it likes when it is full."""
        memory = await self._answer(self._client.info("memory"))
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            raise Fatal(
                f"the Redis of TABLE_STORE drops keys when it is full (maxmemory-policy {policy}): "
                "set it to noeviction or volatile-ttl"
            )

    async def _save(self, partition: int, items: Items, reached: int | None, token: str = "") -> int:
        """Return how many values Redis has newer. The offset is not stored then: another restore must meet them too."""
        parts = list(parts_of(items))
        refused = 0
        for number, part in enumerate(parts, 1):
            # The offset is stored with the last values: a save that was cut short stands for none.
            is_last = number == len(parts) and reached is not None and not refused
            arguments: list[Argument] = [reached if is_last else "", token]
            market_keys = []
            for market, values in part:
                market_keys.append(self._key(keys.table_market, partition, market))
                arguments += (market, len(values))
                for field, value in values:
                    arguments += as_stored(field, value)
            markets = self._key(keys.table_markets, partition)
            not_taken, *stored = await self._call(SAVE, partition, [markets, *market_keys], arguments)
            refused += not_taken
            if stored:
                self._offsets[partition] = int(stored[0])
        return refused

    async def _call(
        self, script: Script, partition: int, more_keys: list[str], arguments: Sequence[Argument] = ()
    ) -> Any:
        known = self._offsets.get(partition, NOTHING)
        meta = self._key(keys.table_meta, partition)
        work = evaluate(self._client, script, [meta, *more_keys], [self._cluster, known, *arguments])
        result = await self._answer(work)
        if result == LOST:
            raise StoreLost(
                f"the Redis of TABLE_STORE at {address_of(self._client)} has lost state of partition {partition}: "
                "it was emptied, or restored from an old copy; start again to restore it from the changelog"
            )
        return result

    async def _answer(self, work: Awaitable[Any]) -> Any:
        with REDIS.asked(f"the table store in Redis at {address_of(self._client)}"):
            async with asyncio.timeout(ANSWER_SECONDS):
                return await work


async def deliver(settings: Settings, records: list[Record]) -> None:
    """Send records before the worker's own client may; return when the broker has them. Raises :class:`Outage`."""
    with KAFKA.asked("the broker"):
        producer = await open_producer(settings)
        try:
            outbound = Outbound(lambda record: producer.send(record.topic, record.value, record.key, record.partition))
            await outbound.deliver(records)
        finally:
            await producer.stop()
