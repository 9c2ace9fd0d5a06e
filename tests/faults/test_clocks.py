"""Clocks that disagree: a producer or a worker 5 minutes slow, 5 minutes fast, or jumping, beside one that is right.

No trade is lost, none is counted twice, nothing good is refused, and whose clock is wrong says so.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.kafka.record_times import NAME
from streams.topics import ALERTS, TRADES
from tests.faults.clocks import LiveScript, WrongClock, library, take_back
from tests.faults.exchange import Exchange
from tests.faults.judge import CHANGELOG, judge, letters
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.processes import Process, http_get
from tests.faults.stack import Stack
from tests.prometheus_server import Prometheus

log = logging.getLogger(__name__)

pytestmark = [
    *fault_run(300, REAL_KAFKA),
    pytest.mark.skipif(not library(), reason="not covered: clocks that disagree (libfaketime is not installed)"),
]

FIVE_MINUTES = 300
# A machine at its limit answers later than the suite's usual two seconds.
ANSWER_SECONDS = 10.0
SKEW = "liqmon_clock_skew_seconds"
SKEW_RULE = "LiqmonClockSkew"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready, on trades of the present."""
    running = Stack(tmp_path_factory.mktemp("clocks"), workers=2, producers=2, seed=41)
    running.script = LiveScript(41, "exchange")
    async with running:
        await running.everybody_ready()
        yield running


async def verdict_of(stack: Stack, exchange: Exchange) -> None:
    """Let everything come to rest: what was sent is counted exactly, and nothing was refused anywhere."""
    await exchange.finish()
    await stack.drained()
    refused = [(letter.reason, letter.detail, letter.origin) for letter in await letters(stack)]
    assert not refused, f"{len(refused)} refused, first: {refused[:3]}"
    log.info("%s", await judge(stack, stack.sent, stack.script.venues))


async def restarted(stack: Stack, process: Process) -> None:
    """End a process and start it again."""
    await asyncio.to_thread(process.stop)
    process.start()


def facts(process: Process) -> dict[str, object]:
    """Return what a process says of its readiness, and why."""
    _, body = http_get(process.port, "/readyz", ANSWER_SECONDS)
    found: dict[str, object] = json.loads(body)
    return found


async def shows_skew(stack: Stack, process: Process, against: str, seconds: int) -> None:
    """Wait until a process exports by how much its clock is ahead."""

    def holds() -> bool:
        with contextlib.suppress(OSError):
            return process.metric(SKEW, against=against) == pytest.approx(seconds, abs=5)
        return False

    await stack.until(holds, 30, f"{process.name} to show a skew of {seconds} s against the {against}")


@pytest.mark.parametrize("ahead", [-FIVE_MINUTES, FIVE_MINUTES])
async def test_a_producer_with_a_wrong_clock_costs_nobody_a_trade(stack: Stack, ahead: int) -> None:
    """Beside a good one, and alone: it goes by the broker's clock, is unready, and says by how much it is off."""
    wrong, good = stack.producers
    clock = WrongClock(wrong.directory)
    clock.ahead(ahead)
    clock.give_to(wrong)
    await restarted(stack, wrong)
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(600)
        good.kill()
        await exchange.until_sent(600)
        await shows_skew(stack, wrong, "broker", ahead)
        await shows_skew(stack, wrong, "venue", ahead)
        said = await asyncio.to_thread(facts, wrong)
        assert not said["ready"]
        assert "broker's" in str(said["clock"])
        await exchange.published()
        good.start()
        await stack.ready(good)
        await exchange.heard_by(2)
        await verdict_of(stack, exchange)
    assert "MAX_CLOCK_SKEW_SECONDS" in wrong.log_text()


async def test_a_producer_whose_clock_jumps_costs_nobody_a_trade(stack: Stack, tmp_path: Path) -> None:
    """Forth and back while it publishes. It is ready again when its clock is right, and Prometheus hears of it."""
    jumping, good = stack.producers
    watch = Prometheus(tmp_path, {"producer": [jumping.port], "worker": [stack.workers[0].port]})
    heard = contextlib.nullcontext() if not Prometheus.is_installed() else watch
    clock = WrongClock(jumping.directory)
    clock.give_to(jumping)
    await restarted(stack, jumping)
    async with Exchange(stack) as exchange:
        await exchange.heard_by(2)
        await stack.ready(jumping, good)
        with heard as prometheus:
            await jumps(stack, jumping, good, clock, exchange, prometheus)
        await exchange.until_sent(300)
        await verdict_of(stack, exchange)
    take_back(jumping)
    await restarted(stack, jumping)


async def jumps(
    stack: Stack, jumping: Process, good: Process, clock: WrongClock, exchange: Exchange, prometheus: Prometheus | None
) -> None:
    """Let the clock of a producer be wrong both ways, and right again."""

    def is_told(*, wrong: bool) -> bool:
        return prometheus is None or (SKEW_RULE in prometheus.firing()) == wrong

    for ahead in (FIVE_MINUTES, -FIVE_MINUTES):
        clock.ahead(ahead)
        await stack.until(lambda: not jumping.ready(), 20, "the jumping producer to be unready")
        await exchange.until_sent(300)
        await stack.ready(good)
    await stack.until(lambda: is_told(wrong=True), 30, f"{SKEW_RULE} to fire")
    clock.ahead(0)
    await stack.ready(jumping)
    await stack.until(lambda: is_told(wrong=False), 30, f"{SKEW_RULE} to clear")


async def test_a_worker_whose_clock_jumps_counts_exactly_by_the_brokers_time_and_is_unready(stack: Stack) -> None:
    """5 minutes fast from its start on, then slow. It serves its partitions all the while and shows the right times."""
    jumping, good = stack.workers
    clock = WrongClock(jumping.directory)
    clock.ahead(FIVE_MINUTES)
    clock.give_to(jumping)
    began, written = time.time(), {topic: await stack.ledger.ends(topic) for topic in (ALERTS, CHANGELOG)}
    await restarted(stack, jumping)
    await stack.until(lambda: lacks_only_its_clock(jumping), 60, "the worker to lack nothing but its clock")
    async with Exchange(stack) as exchange:
        for ahead, where in ((FIVE_MINUTES, "ahead of"), (-FIVE_MINUTES, "behind")):
            clock.ahead(ahead)
            await exchange.until_sent(600)
            await shows_skew(stack, jumping, "broker", ahead)
            await stack.until(partial(says_clock_is, jumping, where), 20, f"the worker to say it is {where} the broker")
            await exchange.published()
            await stack.until(lambda: is_near_its_end(jumping), 90, "the worker to count on while it is unready")
            await stack.until(lambda: shows_right_times(jumping), 30, "the worker to show ages by the broker's time")
            await stack.until(lambda: lacks_only_its_clock(jumping), 30, "the worker to lack nothing but its clock")
        await stack.ready(good)
        assert (await stack.sql("SELECT count(*) FROM window_stats WHERE sampled_at > now() + interval '1 min'"))[0][
            0
        ] == 0
        clock.ahead(0)
        await stack.ready(jumping)
        await verdict_of(stack, exchange)
    for topic, ends in written.items():
        entries = await stack.ledger.read(topic, ends)
        assert entries, f"nothing was written to {topic}"
        assert all(began - 60 < entry.timestamp_ms / 1000 < time.time() + 60 for entry in entries), topic
    assert jumping.log_text().count("goes on by the broker's time") == 1
    assert "right again" in jumping.log_text()


async def test_where_publishers_stamp_records_a_worker_with_a_wrong_clock_waits_unready(stack: Stack) -> None:
    """It refuses nothing, and goes on when its clock is right. The good one serves its own partitions meanwhile."""
    jumping, good = stack.workers
    await publishers_stamp(stack)
    for process in (jumping, good):
        process.environment = {**process.environment, "CREATE_TOPICS": "false"}
    clock = WrongClock(jumping.directory)
    clock.give_to(jumping)
    await asyncio.gather(restarted(stack, jumping), restarted(stack, good))
    await stack.settled()
    async with Exchange(stack) as exchange:
        await exchange.until_sent(300)
        for ahead in (FIVE_MINUTES, -FIVE_MINUTES):
            clock.ahead(ahead)
            await stack.until(lambda: says_clock_is(jumping, "the broker's"), 20, "the worker to say that it is wrong")
            await exchange.until_sent(600)
            assert not (await asyncio.to_thread(facts, jumping))["clock_right"]
        await stack.ready(good)
        clock.ahead(0)
        await stack.ready(jumping)
        await verdict_of(stack, exchange)


def says_clock_is(worker: Process, where: str) -> bool:
    """Whether a worker says now that its clock is wrong, and in which direction."""
    try:
        said = facts(worker)
    except OSError:
        return False
    return said["clock_right"] is False and where in str(said["clock"])


def lacks_only_its_clock(worker: Process) -> bool:
    """Whether a worker has all that it needs for being ready, but a right clock."""
    try:
        said = facts(worker)
    except OSError:
        return False
    return {name for name, holds in said.items() if holds is False} == {"clock_right"}


def row_of(worker: Process) -> dict[str, Any]:
    """Return what a worker says of itself on its page."""
    _, body = http_get(worker.port, "/api/workers?scope=local", ANSWER_SECONDS)
    (row,) = json.loads(body)["rows"]
    found: dict[str, Any] = row
    return found


def is_near_its_end(worker: Process) -> bool:
    """Whether all but the newest messages of its partitions are counted and committed."""
    try:
        active = [one for one in row_of(worker)["partitions"] if one["role"] == "active"]
    except OSError:
        return False
    return all(one["lag"] is not None and one["lag"] < 100 for one in active)


def shows_right_times(worker: Process) -> bool:
    """Whether what a worker shows of the present is no five minutes off; ages grow while nothing is sent."""
    try:
        row = row_of(worker)
    except OSError:
        return False
    ages = [one["age_seconds"] for one in row["partitions"] if one["role"] == "active" and one["markets"]]
    is_up_right = 0 <= time.time() - row["started"] < FIVE_MINUTES
    return is_up_right and bool(ages) and 0 < max(ages) < FIVE_MINUTES / 2


async def publishers_stamp(stack: Stack) -> None:
    """Give the topic the times of its publishers again, as on a broker where nobody may alter it."""
    client = AIOKafkaAdminClient(bootstrap_servers=stack.ledger.address)
    await client.start()
    try:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TRADES, {NAME: "CreateTime"})])
    finally:
        await client.close()
