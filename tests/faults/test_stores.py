"""The same on every table store: killed, frozen, killed all at once, restarted in good order, the tables are exact."""

import asyncio
import logging
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from streams.topics import TRADES
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import judge
from tests.faults.marks import fault_run
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

KILLS = 4
# Longer than the broker waits for a sign of life, 10 s.
FREEZE_SECONDS = 14
PER_SECOND = 300


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["rocksdb", "redis", "memory"])
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp(request.param), workers=2, seed=91, table_store=request.param) as running:
        await running.everybody_ready()
        yield running


async def test_kills(stack: Stack) -> None:
    """One by one in the middle of a batch, then all at once."""
    kills = []
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        for seed in range(KILLS):
            await exchange.until_sent(400)
            victim = (await stack.any_ready())[0]
            kills.append(await harm.kill(stack, exchange, victim, Random(seed), evicted=[victim]))
            victim.start()
        await stack.ready()
        await exchange.until_sent(400)
        for worker in stack.workers:
            worker.kill()
        for worker in stack.workers:
            worker.start()
        await stack.ready()
        await exchange.until_sent(400)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s: %s; %s", stack.table_store, kills, verdict)
    assert any(kill.uncommitted for kill in kills)


async def test_a_freeze(stack: Stack) -> None:
    """In the middle of a batch, until its partitions have moved; then it is given all of them, with its old tables.

    The only worker of an embedded broker wakes when the group has long done without it, and goes on by itself.
    """
    await stack.everybody_ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(400)
        victim = await harm.just_committed(stack, exchange)
        others = [worker for worker in stack.workers if worker is not victim]
        held = await harm.unfinished(stack, exchange, victim)
        victim.freeze()
        committed = await stack.ledger.committed(TRADES, held)
        uncommitted = sum(offset + 1 > committed[partition] for partition, offset in held.items())
        if others:
            # Longer than the session timeout: what is sent from now on to the victim's partitions is served by another.
            seconds = await harm.served_again(stack)
            victim.resume()
            await stack.rejoined()
        else:
            await asyncio.sleep(FREEZE_SECONDS)
            victim.resume()
            seconds = FREEZE_SECONDS + await harm.served_again(stack)
        await exchange.until_sent(400)
        for other in others:
            other.kill()
            await stack.ledger.evict(other.port)
        await harm.served_again(stack)
        for other in others:
            other.start()
        await stack.ready()
        await exchange.until_sent(400)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info(
        "%s: %d partitions not committed, served after %.1f s; %s", stack.table_store, uncommitted, seconds, verdict
    )
    assert uncommitted


async def test_restarts_in_good_order(stack: Stack) -> None:
    """Nothing is counted again; what is kept outside of the process is not read from the changelog again."""
    await stack.everybody_ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(600)
        await exchange.finish()
        await stack.drained()
    # Two producers that hear a trade in the same moment both publish it, which a worker would count below.
    await asyncio.to_thread(stack.producers[1].stop_well)
    await stack.drained()
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop_well)
    for worker in stack.workers:
        worker.start()
    await stack.ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(600)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    duplicates, restored = [
        sum([await asyncio.to_thread(worker.metric, name) for worker in stack.workers])
        for name in ("liqmon_duplicates_total", "liqmon_restored_records_total")
    ]
    log.info("%s: %d records restored; %s", stack.table_store, restored, verdict)
    assert duplicates == 0
    if stack.table_store == "redis":
        assert restored == 0
