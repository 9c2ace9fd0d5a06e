"""The stream under readers that are slow or gone, and under parts that fail."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import BaseTestServer, TestServer

from tables.market.rolling import Rolling
from tables.serving import ServedMarkets
from tables.web.api.rows import MarketRow
from tables.web.cluster.copies import Copies
from tables.web.cluster.local import LocalRows
from tables.web.cluster.replicas import Cluster
from tables.web.cluster.workers import versions
from tables.web.proofs import Proofs
from tables.web.stream import handler as stream_module
from tables.web.stream import hub as hub_module
from tables.web.stream.handler import Stream
from tables.web.stream.hub import Hub
from tables.web.stream.peers import read_events
from tables.web.worker import AlertRecord
from tests.waiting import until
from tests.worker import MemoryWorker, NoAlerts

HERE = "http://127.0.0.1:6066"
MARKETS = 300


class Watched(MemoryWorker):
    """A worker with many markets; ``fails`` makes the next look at them fail."""

    def __init__(self) -> None:
        super().__init__(address=HERE, windows=(300,), price_move_pct=2)
        self.fails = 0
        for number in range(MARKETS):
            self.trade(f"M{number}/USD")

    async def preload(self, partitions: Collection[int], within_seconds: float) -> None:  # noqa: ARG002
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the store is closed")

    def touch(self) -> None:
        """Change every market."""
        for _, market in self.markets():
            market.stale.add(0)


class LargeRows(LocalRows):
    """Rows that say how often their market has changed, with more figures than there are."""

    def market_row(self, partition: int, rolling: Rolling) -> MarketRow:
        windows = [[float(rolling.version)] * 400]
        return msgspec.structs.replace(super().market_row(partition, rolling), windows=windows)


class Alert(msgspec.Struct):
    """As much of an alert's row as the view looks at."""

    rule: str
    venue: str
    symbol: str
    pane: int
    alert_severity: str
    revision: int
    delivery: str


ALERT = Alert("volume", "kraken_spot", "M1/USD", 1000, "LOW", 1, "sent")


class Postgres(NoAlerts):
    """Alerts that a test sets; ``fails`` makes the next question fail in a way that nobody expects."""

    def __init__(self) -> None:
        self.fails = 0
        self.asked = 0
        self.hangs = False
        self.is_ending = False
        self.found: list[AlertRecord] = []

    async def latest(self, limit: int) -> list[AlertRecord]:  # noqa: ARG002
        self.asked += 1
        while self.hangs:
            try:
                await asyncio.sleep(3600)
            finally:
                # As a connection does that is given back while a question is open.
                self.is_ending = True
                await asyncio.sleep(0.3)
        if self.fails:
            self.fails -= 1
            raise ValueError("a column is missing")
        return self.found

    async def changed_since(self, moment: datetime) -> list[AlertRecord]:  # noqa: ARG002
        return await self.latest(0)


@pytest.fixture
def postgres() -> Postgres:
    """Give the alerts."""
    return Postgres()


@pytest.fixture
def watched(postgres: Postgres) -> Watched:
    """Give the worker."""
    watched = Watched()
    watched.alerts = postgres
    return watched


@pytest.fixture
def served(watched: Watched) -> ServedMarkets:
    """Give its markets, whose versions go on rising while nobody looks."""
    served = ServedMarkets(watched)
    served.is_kept = True
    return served


@pytest.fixture
async def hub(watched: Watched, served: ServedMarkets, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """Give a hub that is quick to look."""
    monkeypatch.setattr(hub_module, "SLOWEST_SECONDS", 0.05)
    copies = Copies(None, served)
    hub = Hub(watched, served, LargeRows(served), Cluster(watched, Proofs(watched.peer_secrets)), copies)
    yield hub
    await hub.stop()


@pytest.fixture
async def server(watched: Watched, served: ServedMarkets, hub: Hub) -> AsyncIterator[BaseTestServer]:
    """Give a server of the stream."""
    app = web.Application()
    app.router.add_get("/api/stream", Stream(watched, served, hub, lambda _: True).handle, allow_head=False)
    async with TestServer(app) as server:
        yield server


async def version_seen(server: BaseTestServer, watched: Watched) -> int:
    """Return the newest version of a market that a new reader gets."""
    versions: list[int] = []

    async def take(name: str, data: bytes) -> None:
        if name == "rows":
            versions.extend(int(row["windows"][0][0]) for row in json.loads(data))
            raise ConnectionResetError

    async with asyncio.timeout(10), ClientSession() as session, session.get(server.make_url("/api/stream")) as response:
        watched.touch()
        with suppress(ConnectionResetError):
            await read_events(response.content, take)
    return max(versions)


async def test_open_pages_go_on_when_a_look_fails(
    server: BaseTestServer, watched: Watched, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a look at the markets raises is logged, and the next one brings the same readers up to date."""
    async with ClientSession() as session, session.get(server.make_url("/api/stream")):
        await until(lambda: len(hub.board) == MARKETS)
        before = hub.board.revision
        watched.fails = 1
        await until(lambda: not watched.fails)
        watched.touch()
        await until(lambda: hub.board.revision > before)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the store is closed" in caplog.text


async def test_alerts_go_on_when_reading_them_fails(server: BaseTestServer, postgres: Postgres) -> None:
    """An error that is no outage is no reason to stop asking."""
    postgres.fails = 1
    async with ClientSession() as session, session.get(server.make_url("/api/stream")):
        await until(lambda: postgres.asked >= 2)


async def test_an_alert_does_not_wait_for_rows(
    server: BaseTestServer, postgres: Postgres, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However seldom rows are sent because of the many pages, an alert is sent as soon as it is read."""
    monkeypatch.setattr(hub_module, "FASTEST_SECONDS", 60)
    monkeypatch.setattr(hub_module, "SLOWEST_SECONDS", 60)
    seen: list[Any] = []

    async def take(name: str, data: bytes) -> None:
        if name == "alerts":
            seen.extend(json.loads(data))
            raise ConnectionResetError

    async with ClientSession() as session, session.get(server.make_url("/api/stream")) as response:
        reading = asyncio.create_task(read_events(response.content, take))
        await until(lambda: len(hub.board) == MARKETS and postgres.asked)
        postgres.found = [ALERT]
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reading, 10)
    assert [alert["symbol"] for alert in seen] == [ALERT.symbol]


async def test_who_comes_late_gets_no_old_rows(
    server: BaseTestServer, watched: Watched, served: ServedMarkets, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changed while nobody looked is in the first rows that the next reader gets."""
    monkeypatch.setattr(hub_module, "IDLE_SECONDS", 0.1)
    before = await version_seen(server, watched)
    await until(lambda: hub._task is not None and hub._task.done())
    change(served, 5)
    assert await version_seen(server, watched) >= before + 5


async def test_who_comes_while_the_view_goes_to_rest_is_served(
    server: BaseTestServer,
    watched: Watched,
    served: ServedMarkets,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ending what ran for the last reader takes a moment, in which the next one may come."""
    monkeypatch.setattr(hub_module, "IDLE_SECONDS", 0.1)
    postgres.hangs = True
    before = await version_seen(server, watched)
    await until(lambda: postgres.is_ending)
    postgres.hangs = False
    change(served, 5)
    assert await version_seen(server, watched) >= before + 5


async def test_a_reader_that_takes_nothing_is_let_go(
    server: BaseTestServer, hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffer holds a piece of what it is to be sent, and after a while it is gone; others are served."""
    monkeypatch.setattr(stream_module, "STALLED_SECONDS", 0.5)
    assert server.port is not None
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", server.port))
        reader.sendall(b"GET /api/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: hub.pages == 1)
        await until(lambda: len(hub.board) == MARKETS)
        assert len(hub.board.since(-1)) > 4 * stream_module.PIECE_BYTES
        # Sockets take some of it by themselves.
        changes = asyncio.create_task(keep_changing(watched))
        try:
            await until(lambda: buffered(server) > 0)
            most = 0
            while hub.pages:
                most = max(most, buffered(server))
                await asyncio.sleep(0.01)
        finally:
            changes.cancel()
    assert most <= 3 * stream_module.PIECE_BYTES
    assert await version_seen(server, watched) > 0


def change(served: ServedMarkets, times: int) -> None:
    """Change every market so many times, unseen."""
    for _, rolling in served.rollings():
        for _ in range(times):
            rolling.market.stale.add(0)
            rolling.poll()


async def keep_changing(watched: Watched) -> None:
    """Change all markets again and again."""
    while True:
        watched.touch()
        await asyncio.sleep(0.05)


def buffered(server: BaseTestServer) -> int:
    """Return the bytes that wait for readers in this process."""
    assert server.handler is not None
    transports = [connection.transport for connection in server.handler.connections]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


def test_opening_a_page_reads_no_files() -> None:
    """Every page is told the version; to look it up takes milliseconds, in which the stream stands still."""
    assert versions() is versions()


async def test_hello_lists_the_rules_in_force(server: BaseTestServer) -> None:
    """With what a page needs to write their figures: it knows of none by itself."""
    heard: list[dict[str, Any]] = []

    async def take(name: str, data: bytes) -> None:
        if name == "hello":
            heard.append(json.loads(data))
            raise ConnectionResetError

    async with ClientSession() as session, session.get(server.make_url("/api/stream")) as response:
        with suppress(ConnectionResetError):
            await read_events(response.content, take)
    assert [rule["name"] for rule in heard[0]["rules"]] == ["liquidation", "price_move", "volume"]
    assert heard[0]["rules"][1] == {
        "name": "price_move",
        "unit": "percent",
        "figure": "price_change_pct",
        "label": "price move",
        "threshold": 2.0,
        "steps": [2.0, 4.0, 10.0, 20.0],
    }


async def test_there_is_a_limit_for_pages_and_one_for_workers(
    server: BaseTestServer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page too many gets 503; other workers are let in all the same."""
    monkeypatch.setattr(stream_module, "MAX_WATCHERS", 2)
    async with ClientSession() as session:
        url = server.make_url("/api/stream")
        first, second = await session.get(url), await session.get(url)
        assert (first.status, second.status) == (200, 200)
        assert (await session.get(url)).status == 503
        async with session.get(url, params={"scope": "local"}) as worker:
            assert worker.status == 200
            assert (hub.pages, hub.followers) == (2, 1)
        first.close()
        await until(lambda: hub.pages == 1)
        async with session.get(url) as third:
            assert third.status == 200


async def test_a_stream_ends_with_its_session(
    watched: Watched, served: ServedMarkets, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that was opened with a session gets nothing more once that has ended."""
    monkeypatch.setattr(stream_module, "QUIET_SECONDS", 0.05)
    is_open = True
    app = web.Application()
    app.router.add_get("/api/stream", Stream(watched, served, hub, lambda _: is_open).handle, allow_head=False)
    async with (
        TestServer(app) as server,
        ClientSession() as session,
        session.get(server.make_url("/api/stream")) as response,
    ):
        assert (await response.content.readline()).startswith(b"retry")
        is_open = False
        async with asyncio.timeout(10):
            await response.content.read()


async def test_few_connections_leave_room_for_requests(watched: Watched, served: ServedMarkets, hub: Hub) -> None:
    """Pages take a third of them, other workers another."""
    app = web.Application()
    stream = Stream(watched, served, hub, lambda _: True, most_connections=6)
    app.router.add_get("/api/stream", stream.handle, allow_head=False)
    async with TestServer(app) as server, ClientSession() as session:
        answers = [await session.get(server.make_url("/api/stream")) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 503]
        assert (await session.get(server.make_url("/api/stream?scope=local"))).status == 200
