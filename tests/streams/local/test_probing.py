"""A process of this machine is asked how it is."""

import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.local.probing import get_page, listens, reachable_host
from tests.lost_writes import writes_that_fail


@pytest.mark.parametrize(
    ("bound", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")],
)
def test_reachable_host(bound: str, reached: str) -> None:
    """A server bound to every address is reached over loopback, and IPv6 addresses get their brackets."""
    assert reachable_host(bound) == reached


async def test_only_200_is_a_page() -> None:
    """A server that says it is not ready gives no page."""
    application = web.Application()

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="yes")

    async def unready(_: web.Request) -> web.Response:
        return web.Response(status=503)

    application.router.add_get("/yes", ready)
    application.router.add_get("/no", unready)
    async with TestServer(application) as server:
        assert await get_page(server.host, server.port or 0, "/yes") == "yes"
        assert await get_page(server.host, server.port or 0, "/no") is None
        assert await listens(server.host, server.port or 0)


async def test_an_error_that_no_client_should_raise_is_no_page() -> None:
    """Who asks how a process is wants an answer, whatever happens."""
    async with TestServer(web.Application()) as server:
        with writes_that_fail(server.port or 0):
            assert await get_page(server.host, server.port or 0, "/") is None


async def test_nobody_there() -> None:
    """A closed port is an answer, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not await listens("127.0.0.1", port)
    assert await get_page("127.0.0.1", port, "/") is None
