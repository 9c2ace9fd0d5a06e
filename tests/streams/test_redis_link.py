"""A Redis that may be away: nobody waits for it, it is left alone, and it is used again when it answers."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from statistics import median
from urllib.parse import urlsplit

import pytest
import redis
import uvloop

from streams import metrics
from streams.errors import Outage
from streams.redis_link import REDIS, STEADY_SECONDS, RedisLink, Script
from streams.redis_news import RedisNews
from tests.faults.proxy import Proxy
from tests.lost_writes import writes_that_fail
from tests.said import said_by
from tests.streams.worker.stalls import Stalls
from tests.waiting import until

ECHO = Script("return ARGV[1]")
WRITE = Script("return redis.call('SET', KEYS[1], ARGV[1])")
BROKEN = Script("return redis.error_reply('ERR a script with a fault')")
DEADLINE_SECONDS = 0.05
# Where a test is not about the deadline, a busy machine must not look like a Redis that is away.
PATIENT_SECONDS = 5.0


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """Give a network to the session's Redis that can be bad; the Redis knows a user with a password."""
    server = redis.Redis.from_url(redis_url)
    server.acl_setuser("tester", enabled=True, passwords=["+secret-word"], keys=["*"], commands=["+@all"])
    async with Proxy(urlsplit(redis_url).port or 0) as proxy:
        yield proxy


@pytest.fixture
async def link(proxy: Proxy) -> AsyncIterator[RedisLink]:
    """Give an open link through that network."""
    link = RedisLink(
        f"redis://tester:secret-word@{proxy.address}/0", deadline_seconds=PATIENT_SECONDS, without="a test"
    )
    await link.open(wait_seconds=PATIENT_SECONDS)
    yield link
    await link.close()


@pytest.fixture
async def hasty_link(proxy: Proxy) -> AsyncIterator[RedisLink]:
    """Give a link with a deadline that a test can wait for."""
    link = RedisLink(f"redis://{proxy.address}/0", deadline_seconds=DEADLINE_SECONDS, without="a test")
    await link.open()
    yield link
    await link.close()


async def answer(link: RedisLink, text: str) -> object:
    """Return the answer to a call, made again where the machine took longer than the deadline."""
    async with asyncio.timeout(20):
        while True:
            await until(lambda: link.available)
            with contextlib.suppress(Outage):
                return await link.call(ECHO, [], [text])


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe a Redis that is away every 50 ms."""
    monkeypatch.setattr("streams.redis_link.FIRST_PROBE_SECONDS", 0.05)
    monkeypatch.setattr("streams.redis_link.LAST_PROBE_SECONDS", 0.05)
    monkeypatch.setattr("streams.redis_link.CONNECT_SECONDS", 0.2)


async def test_a_script_is_run_also_after_the_server_forgot_it(link: RedisLink, redis_url: str) -> None:
    """NOSCRIPT loads it again."""
    assert await link.call(ECHO, [], ["one"]) == b"one"
    redis.Redis.from_url(redis_url).script_flush()
    assert await link.call(ECHO, [], ["two"]) == b"two"


@pytest.mark.parametrize("fault", ["slow", "silent", "gone"])
@pytest.mark.usefixtures("quick")
async def test_a_failing_redis_costs_one_deadline_and_then_nothing(
    hasty_link: RedisLink, proxy: Proxy, fault: str
) -> None:
    """The first call ends at the deadline, the next ones at once; healed, it is used again."""
    link = hasty_link
    assert await answer(link, "before") == b"before"
    if fault == "gone":
        await proxy.refuse()
    elif fault == "slow":
        proxy.delay(5)
    else:
        proxy.swallow()
    async with Stalls() as stalls:
        began = time.perf_counter()
        with pytest.raises(Outage):
            await link.call(ECHO, [], ["during"])
        failed = time.perf_counter()
        times = [failed]
        for _ in range(100):
            with pytest.raises(Outage):
                await link.call(ECHO, [], ["during"])
            times.append(time.perf_counter())
    assert failed - began - stalls.between(began, failed) < DEADLINE_SECONDS + 0.02
    assert times[-1] - failed - stalls.between(failed, times[-1]) < DEADLINE_SECONDS
    # They leave the loop no turn, so that their own work counts as a stall as well: it is in every one of them.
    assert 100 * median(end - begin for begin, end in pairwise(times)) < DEADLINE_SECONDS
    assert not link.available
    await proxy.heal()
    proxy.reset()
    assert await answer(link, "after") == b"after"


@pytest.mark.usefixtures("quick")
async def test_an_outage_is_said_once_at_each_end_and_counted(
    link: RedisLink, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Two lines, without the password, and the seconds in a metric."""
    caplog.set_level(logging.INFO, "streams.redis_news")
    before = metrics.redis_unavailable_seconds._value.get()
    await proxy.refuse()
    asked = time.monotonic()
    with pytest.raises(Outage):
        await link.call(ECHO, [], [""])
    failed = time.monotonic()
    await until(lambda: metrics.redis_unavailable_seconds._value.get() - before > 0.2)
    healed = time.monotonic()
    await proxy.heal()
    await until(lambda: link.available)
    counted = metrics.redis_unavailable_seconds._value.get() - before
    assert healed - failed < counted < time.monotonic() - asked
    away, back = said_by(caplog, "streams.redis_news")
    assert "does not answer" in away
    assert "going on without a test" in away
    assert "answers again after" in back
    assert "secret-word" not in caplog.text


@pytest.mark.usefixtures("quick")
async def test_an_error_that_no_client_should_raise_is_an_outage_too(link: RedisLink, proxy: Proxy) -> None:
    """CPython 3.12 raises TypeError for a write to a lost connection; the link goes on when that is over."""
    with writes_that_fail(proxy.port) as failed:
        with pytest.raises(Outage, match="TypeError"):
            await link.call(ECHO, [], ["during"])
        assert not link.available
        calls = len(failed)
        # Probes meet it as well.
        await until(lambda: len(failed) > calls + 3)
    assert await answer(link, "after") == b"after"


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    """Give the session's Redis to an operator, who leaves it as it was."""
    with redis.Redis.from_url(redis_url) as server:
        limits = {name: server.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
        yield server
        server.replicaof("NO", "ONE")
        for name, value in limits.items():
            server.config_set(name, value)


def fill(server: redis.Redis) -> None:
    """Let it have no room for another byte."""
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", 1)


@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.usefixtures("quick")
async def test_a_redis_that_takes_no_writes_is_left_alone_and_said_once(
    link: RedisLink, server: redis.Redis, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers a ping all the same: only a write tells. It is used again when it takes one."""
    caplog.set_level(logging.INFO, "streams.redis_news")
    assert await link.call(WRITE, ["liqmon:test"], ["before"]) == b"OK"
    fill(server) if fault == "full" else server.replicaof("127.0.0.1", "1")
    with pytest.raises(Outage):
        await link.call(WRITE, ["liqmon:test"], ["during"])
    before = metrics.redis_unavailable_seconds._value.get()
    # Ten probes and more.
    while metrics.redis_unavailable_seconds._value.get() - before < 0.5:
        assert not link.available
        await asyncio.sleep(0.01)
    (away,) = said_by(caplog, "streams.redis_news")
    assert "takes no writes (" in away
    assert ("maxmemory" if fault == "full" else "read only") in away
    server.replicaof("NO", "ONE")
    server.config_set("maxmemory", 0)
    await until(lambda: link.available)
    assert await link.call(WRITE, ["liqmon:test"], ["after"]) == b"OK"
    _, back = said_by(caplog, "streams.redis_news")
    assert "takes writes again after" in back


@pytest.mark.usefixtures("quick")
async def test_a_slow_answer_is_not_called_an_outage(
    hasty_link: RedisLink, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """The probe tells which it was, and one line says so."""
    caplog.set_level(logging.INFO, "streams.redis_news")
    link = hasty_link
    assert await answer(link, "before") == b"before"
    caplog.clear()
    link._news = RedisNews(REDIS, "there", without="a test", deadline_seconds=DEADLINE_SECONDS)
    proxy.delay(DEADLINE_SECONDS * 2)
    with pytest.raises(Outage):
        await link.call(ECHO, [], ["during"])
    await proxy.heal()
    await until(lambda: link.available)
    assert "does not answer" not in caplog.text
    assert "slower than 50 ms" in said_by(caplog, "streams.redis_news")[0]


async def test_a_redis_that_fails_again_at_once_is_left_alone_for_longer(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the probe and not the work: asking it twice a second for ever would help nobody."""
    monkeypatch.setattr("streams.redis_link.FIRST_PROBE_SECONDS", 0.05)
    monkeypatch.setattr("streams.redis_link.LAST_PROBE_SECONDS", 0.2)
    link._answered_at = float("-inf")
    waited = []
    for _ in range(4):
        with pytest.raises(Outage):
            await link.call(BROKEN, [], [])
        failed = time.monotonic()
        await until(lambda: link.available)
        waited.append(time.monotonic() - failed)
    assert [at_least <= seconds for at_least, seconds in zip((0.05, 0.1, 0.2, 0.2), waited, strict=True)] == [True] * 4
    link._answered_at -= STEADY_SECONDS
    with pytest.raises(Outage):
        await link.call(BROKEN, [], [])
    assert link._delays.taken == 0


@pytest.mark.usefixtures("quick")
async def test_a_redis_that_is_slow_from_the_start_is_not_used(proxy: Proxy) -> None:
    """It may connect: what counts is how fast it answers."""
    proxy.delay(DEADLINE_SECONDS * 1.5)
    link = RedisLink(f"redis://{proxy.address}/0", deadline_seconds=DEADLINE_SECONDS, without="a test")
    await link.open(wait_seconds=0.5)
    assert not link.available
    await link.close()


async def test_a_loop_that_was_busy_does_not_take_redis_for_slow(redis_url: str) -> None:
    """Timer and answer are found together after a long turn of something else: the answer counts."""
    link = RedisLink(redis_url, deadline_seconds=DEADLINE_SECONDS, without="a test")
    await link.open()
    for _ in range(5):
        calling = asyncio.create_task(link.call(ECHO, [], ["one"]))
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(DEADLINE_SECONDS * 1.5)  # noqa: ASYNC251 - the fault
        assert await calling == b"one"
    await link.close()


@pytest.mark.usefixtures("quick")
def test_connections_that_the_server_closed_are_no_other_error_under_uvloop(redis_url: str) -> None:
    """The producer and the worker run on uvloop, which has errors of its own for them."""

    async def close_connections_and_call() -> None:
        async with Proxy(urlsplit(redis_url).port or 0) as proxy:
            link = RedisLink(f"redis://{proxy.address}/0", deadline_seconds=PATIENT_SECONDS, without="a test")
            for end in (proxy.cut, proxy.reset) * 5:
                await link.open(wait_seconds=PATIENT_SECONDS)
                assert await link.call(ECHO, [], ["one"]) == b"one"
                end()
                # The next call may come before or after the loop has heard of it.
                await asyncio.sleep(random.choice((0, 0.001, 0.01)))
                with contextlib.suppress(Outage):
                    assert await link.call(ECHO, [], ["two"]) == b"two"
                await until(lambda: link.available)
            await link.close()

    uvloop.run(close_connections_and_call())
