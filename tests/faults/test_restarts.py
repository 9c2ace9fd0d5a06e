"""Partitions move in good order, and nothing is met again: workers restart, or hear late of a rebalance."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from tests.faults.claims import check_claims
from tests.faults.exchange import Exchange
from tests.faults.judge import judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

RESTART_EVERY_SECONDS = 5
RESTARTS = 8
SLOW_SECONDS = 0.05
LATE_ROUNDS = 3
PER_SECOND = 300

pytestmark = fault_run(900)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with three workers that are ready and have counted nothing, and one of two producers.

    Two that hear a trade in the same moment both publish it, and a worker says of the second one that it met it again.
    """
    async with Stack(tmp_path_factory.mktemp("restarts"), workers=3, seed=6, proxied_kafka=True) as running:
        for process in (*running.workers, running.producers[0]):
            process.start()
        await running.ready(*running.workers, running.producers[0])
        yield running


async def test_a_graceful_stop_reprocesses_nothing(stack: Stack) -> None:
    """Whoever has its partitions next goes on where it stopped, and so does everybody when it is back."""
    await stack.settled()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(600)
        for worker in stack.workers:
            code = await asyncio.to_thread(worker.stop)
            assert code == 0, worker.tail()
            await exchange.until_sent(300)
            assert await duplicates(stack) == 0, f"after {worker.name} was stopped"
            worker.start()
            await stack.settled()
            await exchange.until_sent(300)
            assert await duplicates(stack) == 0, f"after {worker.name} was back"
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s; %d values of the stores are what they claim", verdict, await check_claims(stack))


async def test_rolling_restarts_every_5_seconds_through_alerts(stack: Stack) -> None:
    """A worker ends in good order every 5 s, whether the last one is back or not; alerts are raised meanwhile.

    The only one of an embedded broker has to be back first and to work for as long. Ended in the moment it is ready, it
    raises nothing. No trade is met again, as far as the workers' counters live to tell.
    """
    await stack.ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(300)
        before, again, compared = await rows(stack), 0.0, 0
        for number in range(RESTARTS):
            worker = stack.workers[number % len(stack.workers)]
            if len(stack.workers) == 1:
                await stack.ready()
                await asyncio.sleep(RESTART_EVERY_SECONDS)
            with contextlib.suppress(OSError):
                again += await asyncio.to_thread(worker.metric, "liqmon_duplicates_total")
                compared += 1
            async with asyncio.TaskGroup() as both:
                both.create_task(asyncio.sleep(RESTART_EVERY_SECONDS))
                both.create_task(asyncio.to_thread(worker.stop))
            worker.start()
        after = await rows(stack)
        await exchange.finish()
        await stack.drained()
        await stack.ready()
        again += await duplicates(stack)
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%d restarts, %d counters read, %d rows written; %s", RESTARTS, compared, after - before, verdict)
    log.info("%d values of the stores are what they claim", await check_claims(stack))
    assert after > before
    assert compared > RESTARTS / 2
    assert again == 0


@REAL_KAFKA
async def test_a_rebalance_that_members_hear_of_at_different_times_ends_nobody(stack: Stack) -> None:
    """At rest, on a slow network: partitions move while a worker still seeks those it had."""
    random = Random(8)
    await stack.everybody_ready()
    first, second, third = stack.workers
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(1500)
        await exchange.finish()
    await stack.drained()
    stack.to_kafka.delay(SLOW_SECONDS)
    for _ in range(LATE_ROUNDS):
        await asyncio.to_thread(third.stop)
        await stack.settled()
        starts = {worker.name: worker.starts for worker in (first, second)}
        third.start()
        second.freeze()
        await stack.until(lambda: not first.ready(), 15, "the first to hear of it")
        await asyncio.sleep(random.uniform(0.1, 1.1))
        second.resume()
        await stack.settled()
        assert {worker.name: worker.starts for worker in (first, second) if worker.running} == starts
    await stack.to_kafka.heal()
    log.info("%s", await judge(stack, stack.sent, stack.script.venues))


async def duplicates(stack: Stack) -> float:
    """How many trades the running workers have met again."""
    running = [worker for worker in stack.workers if worker.running]
    return sum([await asyncio.to_thread(worker.metric, "liqmon_duplicates_total") for worker in running])


async def rows(stack: Stack) -> int:
    """How many alerts of the exchange are in Postgres."""
    found = await stack.sql("SELECT count(*) FROM liquidation_alerts WHERE venue = ANY($1)", list(stack.script.venues))
    return int(found[0][0])
