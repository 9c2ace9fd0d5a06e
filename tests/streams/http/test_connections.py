"""Connections that only take room: ended by the clock, or to make room for who asks."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import web

from streams import metrics
from streams.http import connections as timing
from streams.http.connections import Connections
from tests.streams.http.serving import HOST, answer, is_closed, opened, ping, serving
from tests.waiting import until

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    """Give what closes the test's sockets at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that seconds are tenths."""
    monkeypatch.setattr(timing, "LOOK_SECONDS", 0.02)


def closed_for(reason: str) -> float:
    """Return how many connections the server has ended for a reason."""
    return metrics.REGISTRY.get_sample_value("liqmon_web_connections_closed_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"])
async def test_a_head_that_does_not_come_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, kept: ExitStack, sent: bytes
) -> None:
    """Who sends nothing, or never ends, is gone after the time for a head."""
    monkeypatch.setattr(timing, "HEAD_SECONDS", 0.1)
    before = closed_for("head")
    async with serving({"/ping": ping}, Connections(10)) as port:
        client = kept.enter_context(await opened(port, sent))
        assert await is_closed(client)
    assert closed_for("head") == before + 1


async def test_a_head_that_drips_ends_the_connection(monkeypatch: pytest.MonkeyPatch, kept: ExitStack) -> None:
    """More bytes give no more time: the head's began with its first byte, on a connection that was used before too."""
    monkeypatch.setattr(timing, "HEAD_SECONDS", 0.15)
    async with serving({"/ping": ping}, Connections(10)) as port:
        client = kept.enter_context(await opened(port))
        assert b"pong" in await answer(client)
        gone = asyncio.create_task(is_closed(client))
        while not gone.done():
            try:
                await asyncio.get_running_loop().sock_sendall(client, b"G")
            except ConnectionError:
                break
            await asyncio.sleep(0.01)
        assert await gone


async def test_an_idle_connection_ends_later_than_one_without_a_request(
    monkeypatch: pytest.MonkeyPatch, kept: ExitStack
) -> None:
    """A client that has asked may wait with its next request for longer, and then goes too."""
    monkeypatch.setattr(timing, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(timing, "IDLE_SECONDS", 0.4)
    async with serving({"/ping": ping}, Connections(10)) as port:
        client = kept.enter_context(await opened(port))
        assert b"pong" in await answer(client)
        began = asyncio.get_running_loop().time()
        assert await is_closed(client)
        assert asyncio.get_running_loop().time() - began >= 0.4


async def test_a_client_that_takes_nothing_ends(monkeypatch: pytest.MonkeyPatch, kept: ExitStack) -> None:
    """An answer that nobody reads holds its connection no longer than the time for that."""
    monkeypatch.setattr(timing, "STALLED_SECONDS", 0.2)

    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 30_000_000)

    connections = Connections(10)
    async with serving({"/large": large}, connections) as port:
        kept.enter_context(await opened(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"))
        await until(lambda: len(connections) == 1)
        await until(lambda: len(connections) == 0)


async def test_work_for_a_client_that_reads_slowly_goes_on(monkeypatch: pytest.MonkeyPatch, kept: ExitStack) -> None:
    """What it takes now and then is enough."""
    monkeypatch.setattr(timing, "STALLED_SECONDS", 0.2)

    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 20_000_000)

    async with serving({"/large": large}, Connections(10)) as port:
        client = kept.enter_context(await opened(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"))
        read = 0
        while read < 20_000_000:
            read += len(await asyncio.get_running_loop().sock_recv(client, 1_000_000))
            await asyncio.sleep(0.02)


async def test_the_one_that_waits_longest_makes_room(kept: ExitStack) -> None:
    """Full of idle connections, the server answers every new one; those at work stay."""
    go_on = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text="done")

    connections = Connections(5)
    async with serving({"/ping": ping, "/slow": slow}, connections) as port, aiohttp.ClientSession() as session:
        working = asyncio.create_task(session.get(f"http://{HOST}:{port}/slow"))
        await until(lambda: len(connections) == 1)
        idle = [kept.enter_context(await opened(port)) for _ in range(20)]
        assert all([b"pong" in await answer(kept.enter_context(await opened(port))) for _ in range(20)])
        assert all([await is_closed(client) for client in idle])
        assert len(connections) == 5
        go_on.set()
        assert (await working).status == 200


async def test_where_all_are_at_work_a_new_one_is_closed(kept: ExitStack) -> None:
    """Nobody's answer is lost for somebody new."""
    go_on = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text="done")

    connections = Connections(2)
    before = closed_for("full")
    async with serving({"/slow": slow}, connections) as port, aiohttp.ClientSession() as session:
        working = [asyncio.create_task(session.get(f"http://{HOST}:{port}/slow")) for _ in range(2)]
        await until(lambda: len(connections) == 2)
        assert await is_closed(kept.enter_context(await opened(port)))
        go_on.set()
        assert [(await one).status for one in working] == [200, 200]
    assert closed_for("full") == before + 1


async def test_work_ends_when_its_client_leaves() -> None:
    """The handler is cancelled as soon as the connection is closed."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless(_: web.Request) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with serving({"/endless": endless}, Connections(10)) as port:
        client = await opened(port, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await began.wait()
        client.close()
        await ended.wait()


async def test_requests_in_a_row_on_one_connection_are_all_answered(kept: ExitStack) -> None:
    """Several sent at once, as browsers do not and others may."""
    async with serving({"/ping": ping}, Connections(10)) as port:
        client = kept.enter_context(await opened(port, b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 3))
        got = b""
        while got.count(b"pong") < 3:
            got += await asyncio.get_running_loop().sock_recv(client, 65536)
