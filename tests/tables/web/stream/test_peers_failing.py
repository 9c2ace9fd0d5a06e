"""Other workers are asked and followed through whatever goes wrong on the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from tables.market.values import FIGURE_NAMES
from tables.web.cluster.replicas import Cluster, PeerDown
from tables.web.proofs import Proofs
from tables.web.stream import peers as peers_module
from tables.web.stream.board import Board, event
from tables.web.stream.peers import Peers
from tests.lost_writes import writes_that_fail
from tests.waiting import until
from tests.worker import MemoryWorker

HERE = "http://127.0.0.1:6066"


@pytest.fixture
async def other() -> AsyncIterator[BaseTestServer]:
    """Give another worker, whose stream says that it is ready and then stays open."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        row = {"venue": "kraken_spot", "symbol": "BTC/USD", "window_seconds": [60]}
        await response.write(event("hello", msgspec.json.encode({"windows": [60], "columns": FIGURE_NAMES})))
        await response.write(event("rows", msgspec.json.encode([row])))
        await response.write(event("status", b'{"ready":true}'))
        await asyncio.sleep(60)
        return response

    app = web.Application()
    app.router.add_get("/api/stream", stream)
    async with TestServer(app) as server:
        yield server


@pytest.fixture
async def cluster(other: BaseTestServer) -> AsyncIterator[Cluster]:
    """Give a group of two."""
    peer = str(other.make_url("")).rstrip("/")
    worker = MemoryWorker()
    worker.peers = {peer: [1]}
    cluster = Cluster(worker, Proofs(worker.peer_secrets))
    yield cluster
    await cluster.close()


async def test_an_error_that_no_client_should_raise_is_a_worker_that_does_not_answer(
    cluster: Cluster, other: BaseTestServer
) -> None:
    """Its rows are missing, with a note; the others' are not."""
    with writes_that_fail(other.port or 0) as failed:
        (down,) = (await cluster.get_all("/api/windows", {})).values()
    assert failed
    assert isinstance(down, PeerDown)


async def test_following_goes_on_after_an_error_that_nobody_expected(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker is silent meanwhile, not shown as if it were live for ever; the log has one traceback."""
    monkeypatch.setattr(peers_module, "RETRY_SECONDS", 0.01)
    failures = iter(range(3))
    taken: list[Any] = []

    class Broken(Board):
        def put_peer_row(self, *row: Any) -> None:
            if next(failures, None) is not None:
                raise TypeError("'NoneType' object is not callable")
            taken.append(row)

    peers = Peers(cluster, Broken())
    peers.follow()
    (url,) = cluster.peers()
    await until(lambda: peers.is_silent(url))
    await until(lambda: taken and peers.is_alive(url))
    await peers.stop()
    assert [bool(record.exc_info) for record in caplog.records] == [True]
