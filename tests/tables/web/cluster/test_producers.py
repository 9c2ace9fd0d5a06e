"""What is shown of producers, whatever is at their addresses."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from streams.model.connection import Connection
from streams.publish.status import Facts, StatusServer
from tables.web.cluster.workers import ProducerRow, producer_rows

CONNECTION = Connection("kraken_spot", "wss://ws.kraken.com/v2", True, 1000.0, 1001.5, 3, 10, 1)


async def test_a_producers_own_facts_are_shown() -> None:
    """Ready or not, its connections, and the rest by name."""
    server = StatusServer("127.0.0.1", 0, lambda: Facts(False, {"buffered_trades": 7, "connections": [CONNECTION]}))
    await server.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        assert await producer_rows((f"{url}/",)) == [
            ProducerRow(url, answering=True, ready=False, connections=[CONNECTION], details={"buffered_trades": 7})
        ]
    finally:
        await server.stop()


async def test_its_name_and_password_are_used_and_not_shown() -> None:
    """Whether it answers or not."""
    asked: list[str] = []

    async def protected(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization", ""))
        return web.Response(body=BODIES["fine"], content_type="application/json")

    app = web.Application()
    app.router.add_get("/readyz", protected)
    async with TestServer(app) as server:
        place = f"127.0.0.1:{server.port}"
        rows = await producer_rows((f"http://me:pass-word@{place}/", "http://me:pass-word@127.0.0.1:9"))
    assert [(row.url, row.answering) for row in rows] == [(f"http://{place}", True), ("http://127.0.0.1:9", False)]
    assert asked == ["Basic bWU6cGFzcy13b3Jk"]


@pytest.fixture
async def odd() -> AsyncIterator[BaseTestServer]:
    """Give a server with many odd answers, each at the path of its name."""

    async def answer(request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        if kind == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 65_536)
        if kind == "redirect":
            raise web.HTTPFound("/fine/readyz")
        return web.Response(body=BODIES[kind], content_type="application/json")

    app = web.Application()
    app.router.add_get("/{kind}/readyz", answer)
    async with TestServer(app) as server:
        yield server


BODIES: dict[str, bytes] = {
    "fine": b'{"ready":true}',
    "list": b"[1,2]",
    "broken": b'{"ready":tr',
    "not-text": b"\xff\xfe",
    "ready-is-text": b'{"ready":"yes"}',
    "connections-are-numbers": b'{"ready":true,"connections":[1]}',
    "connections-lack": json.dumps({"ready": True, "connections": [{"venue": "x"}]}).encode(),
    "deep": b'{"a":' * 50_000,
    "large": b'{"ready":true,"x":"' + b"x" * 300_000 + b'"}',
}


@pytest.mark.parametrize("kind", [*BODIES, "endless", "redirect"])
async def test_whatever_answers_costs_one_row(odd: BaseTestServer, kind: str) -> None:
    """What is no producer's answer is a producer that does not answer; nothing is read without an end."""
    (row,) = await producer_rows((str(odd.make_url(f"/{kind}")),))
    expected: dict[str, Any] = {"answering": kind == "fine", "ready": kind == "fine", "connections": [], "details": {}}
    assert {name: getattr(row, name) for name in expected} == expected
