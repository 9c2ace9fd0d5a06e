"""The broker absent at the start, stopped for a minute, killed, and wiped: every trade waits, and none is lost."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streams.topics import TRADES
from streams.worker.ending import MUST_NOT_GO_ON
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.stack import Stack
from tests.kafka import RealKafka

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

ABSENT_SECONDS = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers, none of them started."""
    async with Stack(tmp_path_factory.mktemp("broker"), workers=2, producers=2, seed=31) as running:
        yield running


def kafka_of(stack: Stack) -> RealKafka:
    """Return the stack's Kafka, where a test does not run without."""
    assert stack.kafka is not None
    return stack.kafka


async def test_the_broker_is_absent_at_the_start(stack: Stack) -> None:
    """Everybody waits and says for what; the trades heard meanwhile are kept."""
    await stack.keep_broker_away()
    for process in (*stack.workers, *stack.producers):
        process.start()
    async with Exchange(stack, per_second=50) as exchange:
        await exchange.until_sent(500)
        everybody = (*stack.workers, *stack.producers)
        await stack.until(lambda: all(stack.broker_address in process.log_text() for process in everybody), 60, "words")
        for process in everybody:
            assert process.running, process.tail()
            assert not process.ready()
        await stack.start_kafka()
        seconds = await stack.ready(*stack.workers, *stack.producers)
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
    log.info("ready %.1f s after the broker; %s", seconds, await judge(stack, stack.sent, stack.script.venues))


@REAL_KAFKA
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_the_broker_is_away_for_a_minute(stack: Stack, how: str) -> None:
    """Producers keep what they hear, workers what they counted; both go on by themselves."""
    await stack.everybody_ready()
    async with Exchange(stack, per_second=100) as exchange:
        await exchange.until_sent(500)
        ends = await stack.ledger.ends(TRADES)
        if how == "stopped":
            await asyncio.to_thread(kafka_of(stack).stop)
        else:
            kafka_of(stack).kill()
        sent = len(stack.sent)
        await asyncio.sleep(ABSENT_SECONDS)
        heard = len(stack.sent) - sent
        await stack.start_kafka()
        published, served, verdict = await harm.recovered(stack, exchange)
    log.info(
        "broker %s: %d trades heard meanwhile; on the topic after %.1f s, counted %.1f s later; %s",
        how,
        heard,
        published,
        served,
        verdict,
    )
    assert heard > 100
    assert sum(ends.values())


@REAL_KAFKA
@pytest.mark.parametrize("workers", ["stopped", "running"])
async def test_the_broker_is_wiped_and_the_tables_stay(stack: Stack, workers: str) -> None:
    """Windows go on from where they were, in a new changelog; workers that ran on are started again by whoever does."""
    await stack.everybody_ready()
    async with Exchange(stack) as exchange:
        await exchange.until_sent(600)
        await exchange.finish()
        await stack.drained()
    if workers == "stopped":
        for worker in stack.workers:
            await asyncio.to_thread(worker.stop)
    said_before = [len(worker.log_text()) for worker in stack.workers]
    await stack.replace_kafka()
    async with stack.supervised() as ended:
        for worker in stack.workers:
            if not worker.running:
                worker.start()
        await stack.ready(*stack.workers, *stack.producers)
        async with Exchange(stack) as exchange:
            await exchange.until_sent(900)
            await exchange.finish()
            await stack.drained()
            verdict = await judge(stack, stack.sent, stack.script.venues)
    said = [worker.log_text()[before:] for worker, before in zip(stack.workers, said_before, strict=True)]
    carried = [text.count("the broker was replaced: partition") for text in said]
    log.info("%s partitions carried over, ends: %s; %s", carried, dict(ended), verdict)
    assert all(carried)
    once = int(workers == "running")
    assert ended == Counter({f"{worker.name} {MUST_NOT_GO_ON}": once for worker in stack.workers})
    assert [text.count("the broker was replaced (") for text in said] == [once] * len(said)
