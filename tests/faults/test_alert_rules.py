"""Each alert rule for Prometheus fires when what it is for happens, on real processes, and clears when that is over."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streams.publish.publisher import Outgoing, Publisher
from streams.topics import ALERTS, TRADES
from tests.discord_server import rate_limited
from tests.faults.exchange import Exchange
from tests.faults.feed import SPOT_SYMBOLS
from tests.faults.marks import fault_run
from tests.faults.stack import Stack
from tests.kafka.requests import writes_to
from tests.prometheus_server import FASTER, Prometheus, rule_names

pytestmark = fault_run(
    600, pytest.mark.skipif(not Prometheus.is_installed(), reason="Prometheus is not installed: rules were not judged")
)

RULE_SECONDS = 60
# More messages than the rule on lag allows, in its faster form.
WAITING_MESSAGES = 10_000 // FASTER * 2
SHOWN: set[str] = set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with a producer and a worker that are ready."""
    async with Stack(tmp_path_factory.mktemp("rules"), workers=1, producers=1, seed=51, proxied_kafka=True) as running:
        await running.everybody_ready()
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """Give a Prometheus that scrapes them."""
    ports = {"worker": [stack.workers[0].port], "producer": [stack.producers[0].port]}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), ports) as running:
        yield running


async def fire(stack: Stack, prometheus: Prometheus, *names: str) -> None:
    """Wait until these rules fire."""
    await stack.until(lambda: set(names) <= prometheus.firing(), RULE_SECONDS, f"{names} to fire")
    SHOWN.update(names)


async def clear(stack: Stack, prometheus: Prometheus, *names: str) -> None:
    """Wait until none of these rules fires."""
    await stack.until(lambda: not set(names) & prometheus.firing(), RULE_SECONDS, f"{names} to clear")


async def test_nothing_fires_while_all_is_well(stack: Stack, prometheus: Prometheus) -> None:
    """On a busy machine Redis is slower than producers wait for, which is rightly said."""
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await exchange.until_sent(1500)
        await exchange.finish()
    assert prometheus.firing() <= {"LiqmonRedisAway"}


async def test_a_record_that_is_refused(stack: Stack, prometheus: Prometheus) -> None:
    publisher = Publisher(stack.settings)
    publisher.start()
    publisher.put(Outgoing(TRADES, "BTC/USD", b"no frame", time.time_ns() // 1_000_000, 1, "nobody"))
    await publisher.drain()
    await publisher.close()
    await fire(stack, prometheus, "LiqmonDeadLetters")
    await clear(stack, prometheus, "LiqmonDeadLetters")


async def test_a_postgres_that_is_away(stack: Stack, prometheus: Prometheus) -> None:
    """Retries are counted, alerts wait on their topic, and are slow once they are rows."""
    publisher = Publisher(stack.settings)
    publisher.start()
    stack.script.act()
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await exchange.until_sent(600)
        await stack.to_postgres.refuse()
        await exchange.until_sent(600)
        (first, *_) = await stack.ledger.read(ALERTS)
        for _ in range(WAITING_MESSAGES):
            publisher.put(Outgoing(ALERTS, first.key.decode(), first.value, time.time_ns() // 1_000_000))
        await publisher.drain()
        await publisher.close()
        await fire(stack, prometheus, "LiqmonSinkFailing", "LiqmonLag")
        await stack.to_postgres.heal()
        await exchange.until_sent(300)
        await fire(stack, prometheus, "LiqmonAlertsSlow")
        await exchange.finish()
    await stack.drained()
    await clear(stack, prometheus, "LiqmonSinkFailing", "LiqmonLag", "LiqmonAlertsSlow")


async def test_a_message_that_cannot_be_sent(stack: Stack, prometheus: Prometheus) -> None:
    stack.script.act()
    stack.discord.always = rate_limited(1)
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await exchange.until_sent(3000)
        await fire(stack, prometheus, "LiqmonOutboxOld")
        stack.discord.always = None
        await exchange.finish()
    await stack.drained()
    await clear(stack, prometheus, "LiqmonOutboxOld")


async def test_a_producer_that_publishes_nothing(stack: Stack, prometheus: Prometheus) -> None:
    """Its connection hangs. It is unready, keeps what it hears, and takes another connection by itself."""
    (producer,) = stack.producers
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await exchange.until_sent(300)
        stack.to_kafka.hold_at(writes_to(TRADES))
        await fire(stack, prometheus, "LiqmonNothingPublished")
        assert stack.to_kafka.struck["hold_at"]
        await stack.until(lambda: not producer.ready(), RULE_SECONDS, "a producer that is not ready")
        await stack.ready(producer)
        await clear(stack, prometheus, "LiqmonNothingPublished")
        await exchange.finish()
    await stack.to_kafka.heal()
    await stack.drained()


async def test_a_venue_that_is_silent_and_then_away(stack: Stack, prometheus: Prometheus) -> None:
    await fire(stack, prometheus, "LiqmonFeedSilent")
    for proxy in stack.to_kraken:
        await proxy.refuse()
    await fire(stack, prometheus, "LiqmonFeedDown")
    for proxy in stack.to_kraken:
        await proxy.heal()
    stack.script.act()
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await exchange.until_sent(300)
        await clear(stack, prometheus, "LiqmonFeedSilent", "LiqmonFeedDown")
        await exchange.finish()


async def test_a_part_of_a_venue_that_is_away(stack: Stack, prometheus: Prometheus) -> None:
    """One symbol is put off and one refused, while the others arrive; the producer is ready when all are back."""
    first, second, *_ = SPOT_SYMBOLS
    faults = stack.kraken.faults
    faults.busy_symbols[first] = "Service unavailable"
    faults.refused.add(second)
    try:
        stack.kraken.drop_connections()
        await fire(stack, prometheus, "LiqmonSymbolsMissing", "LiqmonSymbolsRefused")
        # A connection that is lost soon after a fault is opened again after seconds, in which the venue is away.
        await stack.until(
            lambda: (
                "LiqmonFeedDown" not in (firing := prometheus.firing())
                and {"LiqmonSymbolsMissing", "LiqmonSymbolsRefused"} <= firing
            ),
            RULE_SECONDS,
            "a venue that is there, without a part of it",
        )
        await stack.until(lambda: not stack.producers[0].ready(), RULE_SECONDS, "a producer that is not ready")
    finally:
        faults.busy_symbols.clear()
        faults.refused.clear()
    await stack.kraken.set_status("maintenance")
    await stack.kraken.set_status("online")
    await clear(stack, prometheus, "LiqmonSymbolsMissing", "LiqmonSymbolsRefused")
    await stack.everybody_ready()


async def test_a_redis_that_is_away(stack: Stack, prometheus: Prometheus) -> None:
    stack.script.act()
    async with Exchange(stack, per_second=150) as exchange:
        await exchange.heard_by(1)
        await stack.to_redis.refuse()
        await fire(stack, prometheus, "LiqmonRedisAway")
        await stack.to_redis.heal()
        # On a busy machine Redis is slower than 20 ms now and then, and is left alone for longer each time.
        await stack.until(lambda: "LiqmonRedisAway" not in prometheus.firing(), 3 * RULE_SECONDS, "Redis to be back")
        await exchange.finish()


async def test_old_rows_that_cannot_be_deleted(stack: Stack, prometheus: Prometheus) -> None:
    """A worker prunes when it starts, and then once an hour."""
    (worker,) = stack.workers
    await stack.sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    await stack.sql("CREATE TRIGGER keep BEFORE DELETE ON window_stats FOR EACH ROW EXECUTE FUNCTION keep()")
    await stack.sql("UPDATE window_stats SET sampled_at = sampled_at - interval '40 days'")
    for rules in (fire, clear):
        await asyncio.to_thread(worker.stop)
        worker.start()
        await stack.ready()
        await rules(stack, prometheus, "LiqmonPruningBehind")
        if rules is fire:
            await stack.sql("DROP TRIGGER keep ON window_stats")


async def test_processes_that_are_killed(stack: Stack, prometheus: Prometheus) -> None:
    for process in (*stack.workers, *stack.producers):
        process.kill()
    await fire(stack, prometheus, "LiqmonWorkerDown", "LiqmonProducerDown")
    await stack.everybody_ready()
    await clear(stack, prometheus, "LiqmonWorkerDown", "LiqmonProducerDown")


async def test_no_rule_was_left_out(stack: Stack) -> None:
    await asyncio.sleep(0)
    # A clock that is wrong is shown in test_clocks.
    assert rule_names() == {*SHOWN, "LiqmonClockSkew"}
