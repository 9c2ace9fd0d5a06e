"""A worker whose machine's clock is wrong: unready, and what it shows and stores has the right time all the same."""

import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tables.serving import ServedMarkets
from tables.web.routes import add_routes
from tests.worker import MemoryWorker

SAID = "this machine's clock is 300.0 s ahead of the broker's"
AHEAD = 300.0

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def worker() -> MemoryWorker:
    """Give one whose clock is 5 minutes fast; its last trade came two seconds ago."""
    worker = MemoryWorker()
    worker.clock_said, worker.ahead_seconds = SAID, AHEAD
    worker.trade("BTC/USD").received_us = round((time.time() - AHEAD - 2) * 1_000_000)
    return worker


@pytest.fixture
async def client(worker: MemoryWorker) -> AsyncIterator[Client]:
    """Give a client of its view."""
    app = web.Application()
    add_routes(app, worker, ServedMarkets(worker), None)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_it_is_unready_and_says_why_until_its_clock_is_right(client: Client, worker: MemoryWorker) -> None:
    """By how much, and in which direction."""
    answer = await client.get("/readyz")
    facts = await answer.json()
    assert (answer.status, facts["clock_right"], facts["clock"]) == (503, False, SAID)
    assert all(holds for name, holds in facts.items() if name not in ("clock_right", "clock"))
    (row,) = (await (await client.get("/api/workers")).json())["rows"]
    assert (row["ready"], row["note"]) == (False, SAID)

    worker.clock_said = ""
    answer = await client.get("/readyz")
    facts = await answer.json()
    assert (answer.status, facts["clock_right"], facts["clock"]) == (200, True, "")


async def test_ages_and_times_are_those_of_the_right_clock(client: Client) -> None:
    """In every answer of the API, and the moment from which pages reckon."""
    now = time.time() - AHEAD
    for row in await (await client.get("/api/windows")).json():
        assert row["age_seconds"] == pytest.approx(2, abs=2)
    panes = await (await client.get("/api/panes", params={"venue": "kraken_spot", "symbol": "BTC/USD"})).json()
    assert panes["age_seconds"] == pytest.approx(2, abs=2)
    (row,) = (await (await client.get("/api/workers")).json())["rows"]
    assert row["started"] <= now
    ages = [one["age_seconds"] for one in (*row["partitions"], *row["feeds"])]
    assert ages == [pytest.approx(2, abs=2)] * 2
    async with client.get("/api/stream") as stream:
        events = [await stream.content.readuntil(b"\n\n") for _ in range(2)]
    hello = json.loads(events[1].partition(b"data: ")[2])
    assert hello["at"] == pytest.approx(now, abs=2)
