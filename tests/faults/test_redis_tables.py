"""Tables in Redis through kills, a freeze, outages and the loss of Redis itself: exact, as with a disk of their own."""

import asyncio
import logging
from collections.abc import AsyncIterator
from random import Random
from typing import cast

import pytest
import pytest_asyncio
import redis

from streams.topics import APP_ID
from tables.stores.base import newer
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import CHANGELOG, judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

OUTAGE_SECONDS = 5
# Longer than the session timeout of 10 s: its partitions are another's when it wakes.
FREEZE_SECONDS = 14


class RedisStack(Stack):
    """A stack whose workers keep their tables in Redis."""

    @property
    def tables(self) -> redis.Redis:
        """The Redis of the tables, past the proxy."""
        return redis.Redis(port=self.redis.port, db=1)

    async def check_redis(self) -> int:
        """Compare Redis with the changelog, value by value; return how many there are."""
        expected: dict[tuple[int, bytes], bytes] = {}
        for entry in await self.ledger.read(CHANGELOG):
            if newer(expected.get((entry.partition, entry.key)), entry.value):
                expected[entry.partition, entry.key] = entry.value
        found: dict[tuple[int, bytes], bytes] = {}
        for key in self.tables.scan_iter(f"liqmon:table:{APP_ID}:panes:*:market:*"):
            place, _, market = key.partition(b":market:")
            partition = int(place.rpartition(b":")[2])
            fields = cast("dict[bytes, bytes]", self.tables.hgetall(key))
            for field, value in fields.items():
                found[partition, market + b"|" + field] = value[8:]
        assert found == expected
        return len(found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisStack]:
    """Give a stack with two workers that are ready."""
    async with RedisStack(tmp_path_factory.mktemp("tables"), workers=2, table_store="redis", seed=11) as running:
        await running.everybody_ready()
        yield running


async def test_exact_through_everything(stack: RedisStack) -> None:
    """One run, each fault while trades flow: a kill, Redis away, a frozen worker where there are two, Redis emptied."""
    async with Exchange(stack, per_second=300) as exchange:
        await exchange.until_sent(600)
        one = await harm.just_committed(stack, exchange)
        others = [worker for worker in stack.workers if worker is not one]
        await harm.unfinished(stack, exchange, one)
        kill = await harm.kill(stack, exchange, one, Random(11), latest=0.2)
        one.start()
        await stack.ready()
        await exchange.until_sent(300)

        await stack.to_redis.refuse()
        committed = await stack.ledger.committed("trades", range(stack.settings.topic_partitions))
        await asyncio.sleep(OUTAGE_SECONDS)
        assert not one.ready()
        stuck = await stack.ledger.committed("trades", range(stack.settings.topic_partitions))
        await stack.to_redis.heal()
        await exchange.until_sent(300)

        for other in others:
            other.freeze()
            await asyncio.sleep(FREEZE_SECONDS)
            other.resume()
            await stack.rejoined()
            await exchange.until_sent(300)

        stack.tables.flushall()
        for worker in stack.workers:
            await asyncio.to_thread(worker.wait, 30)
        for worker in stack.workers:
            assert "start again to restore it from the changelog" in worker.log_text()
            worker.start()
        await stack.ready()
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s; %s; %d values", kill, verdict, await stack.check_redis())
    assert kill.uncommitted
    assert stack.to_redis.struck["refuse"]
    # What was under way when Redis went may still have been committed, nothing later.
    assert sum(stuck.values()) - sum(committed.values()) < 300


@REAL_KAFKA
async def test_a_replaced_broker(stack: RedisStack) -> None:
    """Kafka lost its disk, Redis did not: windows go on where they were, in a new changelog."""
    await stack.everybody_ready()
    async with Exchange(stack, per_second=300) as exchange:
        await exchange.until_sent(900)
        await exchange.finish()
        await stack.drained()
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop)
    await stack.replace_kafka()
    for worker in stack.workers:
        worker.start()
    await stack.ready(*stack.workers, *stack.producers)
    async with Exchange(stack, per_second=300) as exchange:
        await exchange.until_sent(600)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s; %d values", verdict, await stack.check_redis())
    assert any("the broker was replaced" in worker.log_text() for worker in stack.workers)
