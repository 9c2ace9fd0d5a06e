"""Workers are killed in the middle of their work: no trade is lost, none counted twice, every alert is one row."""

import logging
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from tests.faults import harm
from tests.faults.feed import Feed, Script
from tests.faults.judge import judge
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

SEEDS = 20
# Detection (session timeout 10 s), take-over, catching up.
TAKE_OVER_SECONDS = 20

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with three workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("workers"), workers=3, proxied_kafka=True) as running:
        for worker in running.workers:
            worker.start()
        await running.ready()
        yield running


async def test_twenty_kills_in_the_middle_of_a_batch(stack: Stack) -> None:
    """Each at another moment of the commit interval; half of them on a slow broker: flushes and seeks take long."""
    script = Script(1, "kills")
    kills = []
    async with Feed(stack.settings, script, per_second=200) as feed:
        await feed.until_sent(400)
        for seed in range(SEEDS * 2):
            random = Random(seed)
            victim = random.choice(await stack.any_ready())
            if stack.kafka is not None:
                stack.to_kafka.delay(0.04 if seed % 2 else 0.0)
            # Every third time the broker forgets them all, so that live ones work on what others have taken.
            evicted = [victim] if seed % 3 else stack.workers
            kills.append(await harm.kill(stack, feed, victim, random, evicted=evicted))
            log.info("%s", kills[-1])
            victim.start()
            if sum(kill.uncommitted > 0 for kill in kills) >= SEEDS:
                break
            await feed.until_sent(200)
        if stack.kafka is not None:
            await stack.to_kafka.heal()
        await feed.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues)
    struck = [kill for kill in kills if kill.uncommitted]
    flushing = sum(kill.flushing for kill in kills)
    log.info("%d kills, %d with work not committed, %d of them after its flush", len(kills), len(struck), flushing)
    log.info("%s", verdict)
    assert len(struck) >= SEEDS
    assert any(kill.flushing for kill in kills)


async def test_the_judge_would_notice(stack: Stack) -> None:
    """One trade more or fewer in the list, and the verdict is another."""
    script = Script(2, "noticed")
    async with Feed(stack.settings, script) as feed:
        await feed.until_sent(300)
        await feed.finish()
        await stack.drained()
        await judge(stack, feed.trades, script.venues)
    with pytest.raises(AssertionError, match=r"lacks 0 trades|should be empty|watermark"):
        await judge(stack, feed.trades[:100] + feed.trades[101:], script.venues)
    extra = script.act()[0]
    with pytest.raises(AssertionError):
        await judge(stack, [*feed.trades, extra], script.venues)


async def test_a_killed_workers_partitions_are_served_again_within_20_seconds(stack: Stack) -> None:
    """Nobody tells the broker: it has to notice."""
    script = Script(3, "takeover")
    await stack.ready()
    async with Feed(stack.settings, script) as feed:
        await feed.until_sent(1000)
        victim = await harm.just_committed(stack, feed)
        await feed.until_sent(50)
        kill = await harm.kill(stack, feed, victim, Random(3), latest=0.3)
        seconds = await harm.served_again(stack)
        victim.start()
        await feed.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues)
    log.info("served again after %.1f s; %s; %s", seconds, kill, verdict)
    assert kill.uncommitted
    assert seconds < TAKE_OVER_SECONDS


async def test_all_workers_killed_and_their_directories_deleted(stack: Stack) -> None:
    """Everything that counts is on the broker and in Postgres."""
    script = Script(4, "wiped")
    await stack.ready()
    async with Feed(stack.settings, script) as feed:
        await feed.until_sent(3000)
        kills = [await harm.kill(stack, feed, worker, Random(4), evicted=[worker]) for worker in stack.workers]
        for worker in stack.workers:
            stack.delete_data(worker)
            worker.start()
        ready_seconds = await stack.ready()
        await feed.until_sent(600)
        await feed.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues)
    log.info("ready again after %.1f s; %s; %s", ready_seconds, kills, verdict)
    assert sum(kill.uncommitted for kill in kills) > 0
