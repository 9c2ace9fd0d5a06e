"""Workers ask each other, and prove that they are workers; nobody gets the token by advertising an address."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, web

from streams.http.connections import Connections
from streams.http.server import Runner
from tables.serving import ServedMarkets
from tables.web.proofs import Proofs
from tables.web.routes import add_routes
from tests.streams.http.serving import HOST
from tests.worker import MemoryWorker

TOKEN = "a token of the operator's"
SECRET = "a secret that all workers have, and nobody else"
API = "/api/windows"
ODD = "ODD ?&=+%/Ä€ USD"
Start = Callable[..., Any]


@dataclass
class Member:
    """A worker that is listened at, and what was asked of it: target and headers."""

    worker: MemoryWorker
    asked: list[tuple[str, dict[str, str]]]

    @property
    def url(self) -> str:
        return self.worker.address


@asynccontextmanager
async def listening(worker: MemoryWorker, answer: Any = None) -> AsyncIterator[Member]:
    """Serve a worker's view, or an answer of the test's own in its place."""
    asked: list[tuple[str, dict[str, str]]] = []

    @web.middleware
    async def noted(request: web.Request, handler: Any) -> web.StreamResponse:
        asked.append((request.raw_path, dict(request.headers)))
        return await (answer or handler)(request)  # type: ignore[no-any-return]

    app = web.Application(middlewares=[noted])
    add_routes(app, worker, ServedMarkets(worker), None)
    runner = Runner(app, Connections(100))
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    worker.address = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield Member(worker, asked)
    finally:
        await runner.cleanup()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Give what starts a worker with a token."""
    async with AsyncExitStack() as stack:

        async def start(answer: Any = None, **changes: Any) -> Member:
            settings: dict[str, Any] = {"web_token": TOKEN, "topic_partitions": 2} | changes
            worker = MemoryWorker(**settings)
            return await stack.enter_async_context(listening(worker, answer))

        yield start


def in_one_group(*members: Member) -> None:
    """Let the members know each other, each with the partition of its place."""
    for at, member in enumerate(members):
        member.worker.partitions = lambda at=at: [at]  # type: ignore[misc, method-assign]
        member.worker.peers = {other.url: [n] for n, other in enumerate(members) if other is not member}


async def windows(member: Member, path: str = "/api/windows") -> tuple[int, list[dict[str, Any]], str]:
    """Return what somebody with the token is answered: status, rows and notes."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with ClientSession(headers=headers) as session, session.get(f"{member.url}{path}") as answer:
        return answer.status, await answer.json(), answer.headers.get("X-Liqmon-Notes", "")


async def test_workers_answer_each_other(start: Start) -> None:
    """Without the token, whatever the market's name is; the token is in no request between them."""
    first, second = await start(web_peer_secret=SECRET), await start(web_peer_secret=SECRET)
    in_one_group(first, second)
    second.worker.trade(ODD, partition=1)
    status, rows, notes = await windows(first)
    assert (status, {(row["symbol"], row["source"]) for row in rows}, notes) == (200, {(ODD, "peer")}, "")
    status, rows, notes = await windows(first, "/api/windows?symbol=ODD%20%3F%26%3D%2B%25%2F%C3%84%E2%82%AC%20USD")
    assert (status, {row["symbol"] for row in rows}, notes) == (200, {ODD}, "")
    assert len(second.asked) == 2
    assert TOKEN not in str(second.asked)
    assert SECRET not in str(second.asked)


@pytest.mark.parametrize("secrets", [(SECRET, "another secret that no other worker has"), (SECRET, None), (None, None)])
async def test_workers_that_do_not_know_each_other_say_so(start: Start, secrets: tuple[str | None, ...]) -> None:
    """With another secret, or none: the answer has a note, and no rows of the other."""
    first, second = [await start(web_peer_secret=secret) for secret in secrets]
    in_one_group(first, second)
    second.worker.trade("BTC/USD", partition=1)
    status, rows, notes = await windows(first)
    assert (status, rows) == (200, [])
    assert f"{second.url} does not accept this worker: its WEB_PEER_SECRET or its clock is another" in notes
    status, found, _ = await windows(first, "/api/workers")
    assert status == 200
    assert f"{second.url} does not accept this worker" in str(found)
    assert TOKEN not in str(second.asked)


async def test_who_has_the_token_may_ask_as_a_worker_of_an_earlier_release_does(start: Start) -> None:
    """That sends the token: it is a login as any other, and proves nothing more."""
    member = await start(web_peer_secret=SECRET)
    member.worker.trade("BTC/USD")
    status, rows, _ = await windows(member, "/api/windows?scope=local")
    assert (status, len(rows)) == (200, 2)
    async with ClientSession() as session:
        for scheme, given in (("Bearer", SECRET), ("Liqmon-Peer", TOKEN), ("Liqmon-Peer", SECRET)):
            headers = {"Authorization": f"{scheme} {given}"}
            async with session.get(f"{member.url}/api/windows", headers=headers) as answer:
                assert answer.status == 401


async def test_a_stranger_gets_nothing_that_is_of_use(start: Start) -> None:
    """Whoever advertises an address is asked there. It can neither log in with that, nor ask a worker."""
    sent: list[tuple[str, str]] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        sent.append((request.raw_path, request.headers["Authorization"]))
        assert TOKEN not in str(dict(request.headers))
        return web.json_response([])

    first, second = await start(web_peer_secret=SECRET), await start(web_peer_secret=SECRET)
    stranger = await start(keep)
    in_one_group(first, second, stranger)
    await windows(first)
    await windows(first, "/api/workers")
    assert len(sent) == 2
    async with ClientSession() as session:
        for target, proof in sent:
            for member in (first, second):
                # Also under the stranger's name.
                for host in (member.url, stranger.url):
                    headers = {"Authorization": proof, "Host": host.removeprefix("http://")}
                    async with session.get(f"{member.url}{target}", headers=headers) as answer:
                        assert answer.status == 401


async def test_a_stream_is_proven_once_and_stays(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at again and again; who repeats what opened it opens none."""
    monkeypatch.setattr("tables.web.stream.handler.QUIET_SECONDS", 0.05)
    first, second = await start(web_peer_secret=SECRET), await start(web_peer_secret=SECRET)
    in_one_group(first, second)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with ClientSession() as session, session.get(f"{first.url}/api/stream", headers=headers) as page:
        async with asyncio.timeout(10):
            while not second.asked:
                await page.content.readline()
        ((target, proof),) = second.asked
        assert target == "/api/stream?scope=local"
        async with session.get(f"{second.url}{target}", headers={"Authorization": proof["Authorization"]}) as again:
            assert again.status == 401
        # A stream that ended would be asked for again a second later.
        async with asyncio.timeout(10):
            for _ in range(60):
                await page.content.readuntil(b"\n\n")
    assert [target for target, _ in second.asked].count("/api/stream?scope=local") == 2


async def test_only_questions_are_taken_from_workers(start: Start) -> None:
    """A proof for a page, or for a request that is no GET, opens nothing."""
    member = await start(web_peer_secret=SECRET)
    proofs = Proofs(lambda: [SECRET])
    async with ClientSession() as session:
        for method, target, expected in (
            ("GET", "/api/windows", 200),
            ("HEAD", "/api/windows", 401),
            ("GET", "/", 401),
        ):
            headers = proofs.headers(method, member.url, target)
            async with session.request(method, f"{member.url}{target}", headers=headers) as answer:
                assert answer.status == expected
