"""A bad network between everybody and the broker: connections lost while starting, and again and again at work."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from streams.worker.ending import MUST_NOT_GO_ON
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import CHANGELOG, judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.stack import Stack
from tests.kafka.requests import writes_to

log = logging.getLogger(__name__)

pytestmark = fault_run(900, REAL_KAFKA)

LOST_ANSWERS = 6
RESETS = 60
RESET_SECONDS = 0.5
# The least that can be set.
DEADLINE_SECONDS = 30
# It looks every 5 s, and then asks the broker what waits.
NOTICED_SECONDS = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers, none of them started."""
    directory = tmp_path_factory.mktemp("network")
    deadline = {"COMMIT_DEADLINE_SECONDS": str(DEADLINE_SECONDS)}
    async with Stack(directory, workers=2, producers=2, seed=33, environment=deadline, proxied_kafka=True) as running:
        yield running


async def test_connections_are_lost_in_the_middle_of_the_start(stack: Stack) -> None:
    """Where the changelog is asked for: a worker asks again, or ends, says so, and is started again by whoever does."""
    proxy = stack.to_kafka
    proxy.cut_at(CHANGELOG.encode(), times=LOST_ANSWERS)
    async with stack.supervised() as deaths:
        for process in (*stack.workers, *stack.producers):
            process.start()
        seconds = await stack.ready(*stack.workers, *stack.producers)
        await proxy.heal()
    log.info("%d connections lost; ready after %.1f s, ends: %s", proxy.struck["cut_at"], seconds, dict(deaths))
    assert proxy.struck["cut_at"] == LOST_ANSWERS
    assert all(death.endswith(f" {MUST_NOT_GO_ON}") for death in deaths)
    async with Exchange(stack) as exchange:
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        log.info("%s", await judge(stack, stack.sent, stack.script.venues))


async def test_connections_to_a_slow_broker_are_reset(stack: Stack) -> None:
    """Again and again, in the middle of whatever is asked: everybody connects anew and goes on, nobody ends."""
    starts = {process.name: process.starts for process in (*stack.workers, *stack.producers)}
    random = Random(32)
    async with Exchange(stack, per_second=100) as exchange:
        await exchange.until_sent(300)
        stack.to_kafka.delay(0.02)
        for _ in range(RESETS):
            await asyncio.sleep(random.random() * RESET_SECONDS)
            stack.to_kafka.reset()
        await stack.to_kafka.heal()
        published, served, verdict = await harm.recovered(stack, exchange)
    reset = stack.to_kafka.struck["reset"]
    log.info("%d resets; on the topic after %.1f s, counted %.1f s later; %s", reset, published, served, verdict)
    assert reset >= RESETS
    assert {process.name: process.starts for process in (*stack.workers, *stack.producers) if process.running} == starts


async def test_a_worker_that_lives_and_cannot_commit_is_ended(stack: Stack) -> None:
    """One connection hangs, that by which it writes. It keeps its partitions by its heartbeats: nobody takes them."""
    await stack.everybody_ready()
    async with Exchange(stack, per_second=100) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(100)
        stack.to_kafka.hold_at(writes_to(CHANGELOG))
        await stack.until(lambda: stack.to_kafka.struck["hold_at"], 10, "a worker to write")
        began = time.monotonic()
        while all(worker.running for worker in stack.workers):
            assert time.monotonic() - began < DEADLINE_SECONDS + NOTICED_SECONDS, stack.tails()
            members = len(await stack.ledger.members())
            await asyncio.sleep(0.2)
        ended = time.monotonic()
        (victim,) = [worker for worker in stack.workers if not worker.running]
        code = victim.exit_code
        served = await harm.served_again(stack, since=ended)
        # What it had not written by its end reaches the broker now, behind what the other has written.
        await stack.to_kafka.heal()
        await exchange.until_sent(100)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s ended after %.1f s, served %.1f s later; %s", victim.name, ended - began, served, verdict)
    assert code == MUST_NOT_GO_ON
    assert members == len(stack.workers), "the broker took its partitions before it ended"
    assert re.search(
        rf"nothing was committed for {DEADLINE_SECONDS} s although [1-9]\d* messages wait; start again",
        victim.log_text(),
    )
