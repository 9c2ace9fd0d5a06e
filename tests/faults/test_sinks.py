"""Postgres and Discord fail in every way: windows go on, alerts wait, rows and messages are what they should be."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from streams.topics import ALERTS, TRADES
from tests.discord_server import Behaviour, accepted_then_dropped, rate_limited, webhook_gone
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import Verdict, judge
from tests.faults.marks import fault_run
from tests.faults.processes import Process
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

ABSENT_SECONDS = 60
TAKE_OVER_SECONDS = 20
REFUSED_SECONDS = 5
CUTS = 20
# The state that a new alert's message begins in, as Postgres is sent it. It is the last parameter of the statement that
# records an alert, and of no other statement.
RECORDING = b"\0\0\0\7pending"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("sinks"), workers=2, seed=41) as running:
        await running.everybody_ready()
        yield running


def rested(stack: Stack, *, per_second: float = 300) -> Exchange:
    """Return a player whose markets were quiet for some minutes: a market that alerted in the last test may again."""
    stack.script.act()
    return Exchange(stack, per_second=per_second)


class Told(NamedTuple):
    """Alerts, how often Discord tells of them, beyond once each, and outcomes in doubt, since the stack was started."""

    alerts: int
    posts: int
    extra_posts: int
    ambiguous: int


async def told(stack: Stack) -> Told:
    """Count what a test finds here; every test leaves the stack at rest."""
    ((alerts, ambiguous),) = await stack.sql("SELECT count(*), coalesce(sum(ambiguous), 0) FROM alert_outbox")
    posts = Counter(identity for message in stack.discord.messages for identity in message.identities)
    return Told(alerts, posts.total(), posts.total() - len(posts), ambiguous)


async def verdict_of(stack: Stack, exchange: Exchange) -> Verdict:
    """Let everything come to rest and judge all that was ever sent on this stack."""
    await exchange.finish()
    await stack.drained()
    return await judge(stack, stack.sent, stack.script.venues)


async def test_postgres_is_stopped_for_a_minute(stack: Stack) -> None:
    """Trades are counted and committed all the while; alerts wait on their topic."""
    async with rested(stack, per_second=150) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(600)
        await asyncio.to_thread(stack.postgres.stop)
        before = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
        await asyncio.sleep(ABSENT_SECONDS)
        after = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
        waiting = await stack.ledger.lag(ALERTS)
        stack.start_postgres()
        await exchange.until_sent(300)
        await exchange.finish()
        seconds = await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("%d alert messages waited; told %.1f s after the last trade; %s", waiting, seconds, verdict)
    assert waiting
    assert all(after[partition] > before[partition] for partition in before), "windows must not wait for Postgres"


@pytest.mark.real_kafka
async def test_windows_move_while_postgres_is_away(stack: Stack) -> None:
    """Alerts wait for Postgres in both workers when one is killed: its partitions are served again all the same."""
    async with rested(stack, per_second=150) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(600)
        await asyncio.to_thread(stack.postgres.stop)
        await stack.until(lambda: all(waits_for_postgres(worker) for worker in stack.workers), 60, "alerts to wait")
        stack.workers[0].kill()
        seconds = await harm.served_again(stack)
        stack.workers[0].start()
        await exchange.until_sent(300)
        served = await harm.served_again(stack)
        stack.start_postgres()
        await exchange.until_sent(300)
        verdict = await verdict_of(stack, exchange)
    log.info("served again after %.1f s, and %.1f s after the restart; %s", seconds, served, verdict)
    assert seconds < TAKE_OVER_SECONDS


def waits_for_postgres(worker: Process) -> bool:
    """Whether a worker has tried Postgres in vain since it was up last."""
    return worker.log_text().rfind("postgres does not answer") > worker.log_text().rfind("postgres answers again")


async def total(stack: Stack, metric: str, **labels: str) -> float:
    """Sum a metric over the workers."""
    return sum([await asyncio.to_thread(worker.metric, metric, **labels) for worker in stack.workers])


@pytest.mark.parametrize("arrives", [True, False], ids=["answer lost", "statement lost"])
async def test_postgres_is_cut_in_the_middle_of_a_commit(stack: Stack, *, arrives: bool) -> None:
    """Twenty statements that record an alert lose their connection, after or before the server has them."""
    struck = stack.to_postgres.struck
    before, retries = struck["cut_at"], await total(stack, "liqmon_sink_retries_total", sink="postgres")
    said_before = [len(worker.log_text()) for worker in stack.workers]
    async with rested(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(200)
        stack.to_postgres.cut_at(RECORDING, delivered=arrives, times=CUTS)
        await exchange.until_sent(4000)
        await stack.until(lambda: struck["cut_at"] - before == CUTS, 90, "statements to be cut")
        await stack.to_postgres.heal()
        verdict = await verdict_of(stack, exchange)
    retries = await total(stack, "liqmon_sink_retries_total", sink="postgres") - retries
    said = [worker.log_text()[start:] for worker, start in zip(stack.workers, said_before, strict=True)]
    outages = [line for line in "".join(said).splitlines() if "postgres does not answer" in line]
    log.info(
        "%d cut, %d attempts repeated in %d outages; %s", struck["cut_at"] - before, retries, len(outages), verdict
    )
    assert struck["cut_at"] - before == CUTS
    assert retries >= CUTS
    assert all("recording an alert" in line for line in outages), outages


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param([rate_limited(0.7)] * 6, id="429"),
        pytest.param([Behaviour(status=500)] * 4, id="500"),
        pytest.param([accepted_then_dropped()] * 4, id="accepted then dropped"),
        pytest.param([Behaviour(delay_seconds=12)] * 2, id="answers too late"),
    ],
)
async def test_discord_misbehaves(stack: Stack, fault: list[Behaviour], request: pytest.FixtureRequest) -> None:
    """Every row is there; messages are one an alert, and beyond that no more than outcomes were in doubt."""
    before = await told(stack)
    async with rested(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(300)
        asked = len(stack.discord.requests)
        stack.discord.script.extend(fault)
        await exchange.until_sent(3000)
        await stack.until(lambda: not stack.discord.script, 90, "the faults to be met")
        verdict = await verdict_of(stack, exchange)
    log.info("%s: %s", request.node.callspec.id, verdict)
    # After 429 alerts share messages for a while: each of a message in doubt is in doubt.
    met = [seen.body for seen in stack.discord.requests[asked : asked + len(fault)]]
    in_doubt = 0 if request.node.callspec.id == "429" else sum(len(body["embeds"]) for body in met if body)
    assert verdict.ambiguous - before.ambiguous == in_doubt


async def test_discord_refuses_connections(stack: Stack) -> None:
    """Nothing arrived for certain: it is sent later, once."""
    before = await told(stack)
    async with rested(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(200)
        await stack.to_discord.refuse()
        await exchange.until_sent(2500)
        await asyncio.sleep(REFUSED_SECONDS)
        retries = await total(stack, "liqmon_sink_retries_total", sink="discord")
        await stack.to_discord.heal()
        verdict = await verdict_of(stack, exchange)
    log.info("%d attempts refused; %s", retries, verdict)
    assert retries
    assert verdict.extra_posts == before.extra_posts


async def test_a_webhook_that_is_gone_is_never_tried_again(stack: Stack) -> None:
    """404 once a worker; every row is there, and messages come again after a restart with a webhook that works."""
    before = await told(stack)
    async with rested(stack) as exchange:
        await exchange.heard_by(2)
        stack.discord.always = webhook_gone()
        asked = len(stack.discord.requests)
        await exchange.until_sent(4000)
        verdict = await verdict_of(stack, exchange)
        requests = len(stack.discord.requests) - asked
    log.info("%d requests; %s", requests, verdict)
    assert 1 <= requests <= len(stack.workers)
    assert verdict.alerts > before.alerts
    assert verdict.posts == before.posts
    stack.discord.always = None
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop)
        worker.start()
    await stack.ready()
    before = await told(stack)
    async with rested(stack) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(2500)
        verdict = await verdict_of(stack, exchange)
    assert verdict.posts - before.posts == verdict.alerts - before.alerts > 0
