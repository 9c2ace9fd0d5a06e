"""The web servers of workers and producers over TLS, and those who ask them."""

import asyncio
import errno
import os
import shutil
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession, web

from streams.errors import BadSetting
from streams.http import handshake
from streams.http.connections import Connections
from streams.http.server import Runner
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.probing import get_page
from streams.publish.status import Facts, StatusServer
from streams.secured import web_files
from streams.settings import Settings, load_settings
from streams.tls import context, of_web_servers
from tables.serving import ServedMarkets
from tables.web.cluster.workers import producer_rows
from tables.web.routes import add_routes
from tests.conftest import new_database
from tests.secured.certificates import Authority, Issued
from tests.streams.http.serving import HOST, is_closed, opened, ping, serving
from tests.view import View, eventually
from tests.waiting import until
from tests.worker import MemoryWorker

TOKEN, SECRET = "a token of the operator's", "a secret that all workers have, and nobody else"
ASKED = count()
Run = Callable[[Coroutine[Any, Any, None]], None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


@pytest.fixture(scope="session")
def shown(authority: Authority) -> Issued:
    """Give the certificate of workers and producers."""
    return authority.issue("web")


@pytest.fixture
def settings(authority: Authority, shown: Issued) -> Settings:
    """Give settings with that certificate, and the CA that it is of."""
    return with_tls(authority, shown)


def with_tls(authority: Authority, shown: Issued) -> Settings:
    """Return settings that show a certificate, and trust those of a CA."""
    return load_settings(
        web_tls_certfile=shown.certificate, web_tls_keyfile=shown.key, web_tls_cafile=authority.certificate
    )


def trusting(settings: Settings) -> ssl.SSLContext:
    """Return a client's context."""
    return context(web_files(settings)._replace(certificate=None, key=None))


async def got(port: int, trusted: ssl.SSLContext, path: str = "/ping", size: int = 4) -> str:
    """Ask over TLS on a connection of its own, the request right behind the handshake, as the fastest client does."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=trusted, server_hostname="localhost")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        body = (await reader.readexactly(size)).decode()
        writer.close()
    return body


@on_both_loops
def test_pages_are_served_over_tls_alone(settings: Settings, run: Run) -> None:
    """Again and again, and large ones whole. Who speaks without it is cut off, and harms nobody."""

    async def large(request: web.Request) -> web.StreamResponse:
        assert request.secure
        return web.Response(body=b"x" * 3_000_000)

    async def scenario() -> None:
        connections = Connections(100)
        async with serving({"/ping": ping, "/large": large}, connections, of_web_servers(settings)) as port:
            plain = await opened(port, b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await is_closed(plain)
            plain.close()
            trusted = trusting(settings)
            assert await asyncio.gather(*(got(port, trusted) for _ in range(20))) == ["pong"] * 20
            assert len(await got(port, trusted, "/large", 3_000_000)) == 3_000_000
            await until(lambda: len(connections) == 0)

    run(scenario())


@on_both_loops
def test_without_a_descriptor_a_connection_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """A handshake takes a second one for a moment. A client that nobody answers must not keep the first."""

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def scenario() -> None:
        connections = Connections(100)
        async with serving({"/ping": ping}, connections, of_web_servers(settings)) as port:
            with monkeypatch.context() as patch:
                patch.setattr(os, "dup", none_left)
                client = await opened(port)
                async with asyncio.timeout(5):
                    assert await is_closed(client)
                client.close()
            assert len(connections) == 0
            assert await got(port, trusting(settings)) == "pong"

    run(scenario())


@on_both_loops
def test_a_handshake_that_does_not_come_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """By the clock, as a request that does not come: 10 s, here less. Bytes that are none of TLS end it at once."""
    assert handshake.HANDSHAKE_SECONDS == 10
    monkeypatch.setattr(handshake, "HANDSHAKE_SECONDS", 0.3)

    async def scenario() -> None:
        connections = Connections(100)
        async with serving({"/ping": ping}, connections, of_web_servers(settings)) as port:
            silent = [await opened(port), await opened(port, b"\x16\x03\x01\x00\xa5")]
            await until(lambda: len(connections) == 2)
            for client in silent:
                assert await asyncio.wait_for(is_closed(client), 10)
                client.close()
            await until(lambda: len(connections) == 0)

    run(scenario())


@on_both_loops
def test_handshakes_take_no_room_from_those_who_ask(settings: Settings, run: Run) -> None:
    """They count as connections: the one that has waited longest goes."""

    async def scenario() -> None:
        connections = Connections(5)
        async with serving({"/ping": ping}, connections, of_web_servers(settings)) as port:
            idle = [await opened(port) for _ in range(20)]
            trusted = trusting(settings)
            for _ in range(3):
                assert await got(port, trusted) == "pong"
            assert len(connections) <= 5
            for client in idle[:15]:
                assert await asyncio.wait_for(is_closed(client), 10)
            for client in idle:
                client.close()

    run(scenario())


@on_both_loops
def test_a_server_that_ends_waits_for_no_handshake(settings: Settings, run: Run) -> None:
    """Whoever is in one is cut off."""

    async def scenario() -> None:
        async with serving({"/ping": ping}, Connections(5), of_web_servers(settings)) as port:
            client = await opened(port)
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(is_closed(client), 5)
        client.close()

    run(scenario())


async def test_a_renewed_certificate_is_shown_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """From the next connection on."""
    serials = []
    path = tmp_path / "both.pem"
    settings = load_settings(web_tls_certfile=path, web_tls_cafile=authority.certificate)
    shutil.copy(authority.issue("renewed").both, path)
    async with serving({"/ping": ping}, Connections(5), of_web_servers(settings)) as port:
        for at in range(2):
            shutil.copy(authority.issue("renewed").both, path)
            os.utime(path, ns=(at, at))
            _, writer = await asyncio.open_connection(HOST, port, ssl=trusting(settings))
            serials.append(writer.get_extra_info("peercert")["serialNumber"])
            writer.close()
    assert len(set(serials)) == 2


def test_what_cannot_be_used_ends_the_start(shown: Issued, tmp_path: Path) -> None:
    """With the name of the setting."""
    with pytest.raises(BadSetting, match="WEB_TLS_KEYFILE needs WEB_TLS_CERTFILE"):
        load_settings(web_tls_keyfile=shown.key)
    missing = tmp_path / "missing"
    for name in ("CERTFILE", "CAFILE"):
        with pytest.raises(BadSetting, match=f"WEB_TLS_{name}: {missing} cannot be read"):
            of_web_servers(load_settings(**{f"web_tls_{name.lower()}": missing}))
    with pytest.raises(BadSetting, match="WEB_TLS_CERTFILE: no certificate with its key in PEM form"):
        of_web_servers(load_settings(web_tls_certfile=shown.certificate))
    assert of_web_servers(load_settings()) is None


async def test_a_producers_port_has_it_too(settings: Settings, stranger: Authority) -> None:
    """Workers ask it by PRODUCER_URLS, and trust the CA of the settings alone."""
    server = StatusServer(HOST, 0, lambda: Facts(True, {}), of_web_servers(settings))
    await server.start()
    try:
        url = f"https://{HOST}:{server.port}"
        for ca, answering in ((settings.web_tls_cafile, True), (stranger.certificate, False), (None, False)):
            (row,) = await producer_rows((url,), ca)
            assert row.answering is answering
        assert '"ready":true' in (await get_page(HOST, server.port, "/readyz", "https") or "")
    finally:
        await server.stop()


@asynccontextmanager
async def listening(worker: MemoryWorker) -> AsyncIterator[MemoryWorker]:
    """Serve a worker's view as its settings say."""
    app = web.Application()
    add_routes(app, worker, ServedMarkets(worker), None)
    runner = Runner(app, Connections(100), tls=of_web_servers(worker.settings))
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    worker.address = f"{worker.settings.web_scheme}://{HOST}:{runner.addresses[0][1]}"
    try:
        yield worker
    finally:
        await runner.cleanup()


async def notes(worker: MemoryWorker) -> str:
    """Return what an answer of a worker lacks."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        ClientSession() as session,
        # A question of its own: the last answer may be kept for a moment.
        session.get(f"{worker.address}/api/windows?symbol={next(ASKED)}", headers=headers, ssl=False) as answer,
    ):
        assert answer.status == 200
        return answer.headers.get("X-Liqmon-Notes", "")


async def test_workers_ask_each_other_over_tls(authority: Authority, stranger: Authority, shown: Issued) -> None:
    """And nobody whose certificate is not of the CA, or who has none."""
    changes: dict[str, Any] = {
        "web_token": TOKEN,
        "web_peer_secret": SECRET,
        "topic_partitions": 2,
        "web_tls_certfile": shown.both,
        "web_tls_cafile": authority.certificate,
    }
    foreign = stranger.issue("web").both
    async with AsyncExitStack() as stack:
        first, second, other, plain = [
            await stack.enter_async_context(listening(MemoryWorker(**changes | more)))
            for more in ({}, {}, {"web_tls_certfile": foreign}, {"web_tls_certfile": None})
        ]
        first.partitions = lambda: [0]  # type: ignore[method-assign]
        for peer, said in (
            (second, ""),
            (other, f"{other.address} does not answer: its certificate is not accepted (unable to get local issuer"),
            (plain, f"{plain.address} is not asked: it has no TLS, and WEB_TLS_CERTFILE is set here"),
        ):
            first.peers = {peer.address: [1]}
            found = await notes(first)
            assert found.startswith(said)
            assert bool(found) is bool(said)
        plain.partitions = lambda: [0]  # type: ignore[method-assign]
        plain.peers = {first.address: [1]}
        assert await notes(plain) == ""


async def test_a_login_over_tls_gives_a_cookie_for_tls(settings: Settings) -> None:
    """Browsers send it nowhere else."""
    certificate, key = settings.web_tls_certfile, settings.web_tls_keyfile
    worker = MemoryWorker(web_token=TOKEN, web_tls_certfile=certificate, web_tls_keyfile=key)
    async with (
        listening(worker),
        ClientSession() as session,
        session.post(f"{worker.address}/login", data={"token": TOKEN}, ssl=False, allow_redirects=False) as answer,
    ):
        assert answer.status == 303
        assert "; Secure" in answer.headers["Set-Cookie"]


@pytest.mark.timeout(120)
def test_a_worker_and_a_producer_speak_https(
    authority: Authority, shown: Issued, tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    """As an operator starts them: the worker's page shows the producer, and its own address begins with https."""
    files = {"CERTFILE": shown.certificate, "KEYFILE": shown.key, "CAFILE": authority.certificate}
    environment: dict[str, Any] = {f"WEB_TLS_{name}": str(path) for name, path in files.items()}
    trusted = ssl.create_default_context(cafile=str(authority.certificate))
    closed = f"ws://{HOST}:9"
    feed = {"FEED": "live", "SPOT_WS_URL": closed, "FUTURES_WS_URL": closed}

    def page(port: int, path: str) -> str:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", timeout=10, context=trusted) as answer:
            found: str = answer.read().decode()
            return found

    with View(tmp_path, new_database(postgres_server), **environment) as view:
        producer = view.producer("producer", environment=feed).start()
        worker = view.worker("worker", {"PRODUCER_URLS": f"https://localhost:{producer.port}"}).start()
        eventually(lambda: "true" in page(worker.port, "/readyz"), "the worker to be ready", 60)
        eventually(lambda: '"alive":true' in page(producer.port, "/healthz"), "the producer to answer")
        assert "liqmon_web_connections" in page(worker.port, "/metrics")
        assert "liqmon_web_connections" in page(producer.port, "/metrics")
        found = page(worker.port, "/api/workers")
        assert f'"here":"https://{HOST}:{worker.port}"' in found
        assert f'"url":"https://localhost:{producer.port}","answering":true' in found
        with socket.create_connection((HOST, worker.port), timeout=10) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"liqmon" not in plain.recv(100)
        for process in (worker, producer):
            assert "Traceback" not in process.log_text()
            process.stop_well()
