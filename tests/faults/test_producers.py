"""Redundant producers on one feed: one may die, freeze or lose Redis at any time, and the tables do not change."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import redis

from tests.faults.exchange import Exchange
from tests.faults.judge import Verdict, judge
from tests.faults.marks import fault_run
from tests.faults.processes import Process, http_get, sum_of_samples
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

# The bucket of the histogram that holds what was promised, in seconds.
MOST_WAIT = "0.05"
SLOW_SECONDS = 5.0
# How much later the second producer hears of a trade, where it must not depend on chance which is first.
BEHIND_SECONDS = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("producers"), workers=2, producers=2, seed=21) as running:
        await running.everybody_ready()
        yield running


async def verdict_of(stack: Stack, exchange: Exchange) -> Verdict:
    """Let everything come to rest and judge all that was ever sent on this stack."""
    await exchange.finish()
    await stack.drained()
    return await judge(stack, stack.sent, stack.script.venues)


async def metric(process: Process, name: str) -> float:
    """Read a metric in a thread: the proxies, which Redis is reached through, live in this one."""
    return await asyncio.to_thread(process.metric, name)


async def replace(stack: Stack, exchange: Exchange, victim: Process) -> None:
    """Kill a producer while it publishes, and start it again once the other has published all that it might lack."""
    before = await metric(victim, "liqmon_frames_total")
    await exchange.until_sent(200)
    assert await metric(victim, "liqmon_frames_total") > before, f"{victim.name} publishes nothing"
    victim.kill()
    await exchange.until_sent(300)
    await exchange.published()
    victim.start()
    await stack.ready(victim)
    await exchange.heard_by(2)


async def test_two_producers_share_a_feed(stack: Stack) -> None:
    """What one has published the other leaves out, mostly; what comes twice all the same is counted once.

    Two that hear a trade in the same moment both publish it, so one is further away.
    """
    stack.to_kraken[1].delay(BEHIND_SECONDS)
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(1500)
        verdict = await verdict_of(stack, exchange)
    await stack.to_kraken[1].heal()
    duplicates = sum([await metric(worker, "liqmon_duplicates_total") for worker in stack.workers])
    skipped = sum([await metric(producer, "liqmon_skipped_total") for producer in stack.producers])
    log.info("%d left out, %d duplicates reached a worker; %s", skipped, duplicates, verdict)
    assert skipped > duplicates
    assert skipped + duplicates >= len(stack.sent), "the second producer must have heard everything too"


async def test_a_producer_is_killed(stack: Stack) -> None:
    """The other one goes on, without a gap."""
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await replace(stack, exchange, stack.producers[0])
        log.info("%s", await verdict_of(stack, exchange))


async def test_both_producers_are_killed_in_turn(stack: Stack) -> None:
    """Three times each, as a rolling deployment goes wrong."""
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        for _ in range(3):
            for producer in stack.producers:
                await replace(stack, exchange, producer)
        log.info("%s", await verdict_of(stack, exchange))


async def test_a_frozen_producer_wakes_with_old_trades(stack: Stack) -> None:
    """It sends what everybody has known for long; nothing is counted again, nothing alerts again."""
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(300)
        stack.producers[1].freeze()
        await exchange.until_sent(2000)
        stack.producers[1].resume()
        await exchange.until_sent(600)
        log.info("%s", await verdict_of(stack, exchange))


@pytest.mark.parametrize("fault", ["refused", "black hole", "slow", "emptied", "stopped"])
async def test_without_redis_producers_go_on_within_50_ms_a_frame(stack: Stack, fault: str) -> None:
    """Redis refused, silent, 5 s slow, emptied or stopped: it saves traffic, and decides nothing."""
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await stack.until(asks_redis(stack.producers), 30, "producers to ask Redis")
        before, began = await asyncio.to_thread(redis_use, stack.producers), time.monotonic()
        match fault:
            case "refused":
                await stack.to_redis.refuse()
            case "black hole":
                stack.to_redis.swallow()
            case "slow":
                stack.to_redis.delay(SLOW_SECONDS)
            case "emptied":
                marks = redis.Redis(port=stack.redis.port)
                assert marks.dbsize()
                marks.flushall()
            case "stopped":
                stack.redis.stop()
        await exchange.until_sent(1500)
        after, lasted = await asyncio.to_thread(redis_use, stack.producers), time.monotonic() - began
        if fault == "stopped":
            stack.start_redis()
        await stack.to_redis.heal()
        await exchange.until_sent(300)
        verdict = await verdict_of(stack, exchange)
    met = [delta(now, then) for now, then in zip(after, before, strict=True)]
    log.info("Redis %s: %s; %s", fault, met, verdict)
    for use in met:
        if fault == "emptied":
            # A busy machine may be slow to answer by itself, now and then.
            assert use["frames held within 50 ms"] > 100 * use["frames held longer"]
            assert use["milliseconds without"] < lasted * 1000 / 10, "an empty Redis is there"
        else:
            assert use["milliseconds without"], "it met nobody"
        assert use["frames published"] > 0
        assert not use["frames held longer"], "a frame waited for Redis longer than promised"


def delta(now: Counter[str], then: Counter[str]) -> Counter[str]:
    """Return what was added."""
    return Counter({name: now[name] - then[name] for name in now})


def redis_use(producers: list[Process]) -> list[Counter[str]]:
    """How long each producer was without Redis, and how many frames waited for it. Blocks: run it in a thread."""
    uses = []
    for producer in producers:
        _, text = http_get(producer.port, "/metrics")
        within = int(sum_of_samples(text, "liqmon_screen_seconds_bucket", {"le": MOST_WAIT}))
        use = Counter({"frames held within 50 ms": within})
        use["frames held longer"] = int(sum_of_samples(text, "liqmon_screen_seconds_count", {})) - within
        use["frames published"] = int(sum_of_samples(text, "liqmon_frames_total", {}))
        use["milliseconds without"] = round(sum_of_samples(text, "liqmon_redis_unavailable_seconds_total", {}) * 1000)
        uses.append(use)
    return uses


def asks_redis(producers: list[Process]) -> Callable[[], bool]:
    """Return a condition: each producer has asked Redis since it was looked at first."""
    first: list[Counter[str]] = []

    def holds() -> bool:
        try:
            uses = redis_use(producers)
        except OSError:
            return False
        if not first:
            first[:] = uses
        held = "frames held within 50 ms"
        return all(use[held] > then[held] for use, then in zip(uses, first, strict=True))

    return holds
