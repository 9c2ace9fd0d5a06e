"""Paths that begin with the one below which a proxy serves the view, and redirects that stay below it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from streams.http.connections import Connections
from streams.http.prefix import prefix_of, relative_redirects
from streams.http.server import Runner

PREFIX = "/ops/liqmon"


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("", ""),
        ("https://m.example.com", ""),
        ("https://m.example.com/", ""),
        ("https://m.example.com/liqmon/", "/liqmon"),
        ("https://m.example.com:8443/ops/liqmon", "/ops/liqmon"),
        ("https://m.example.com/a%20b", "/a%20b"),
    ],
)
def test_the_prefix_is_the_path_of_the_public_address(url: str, prefix: str) -> None:
    """Without the slash at its end."""
    assert prefix_of(url) == prefix


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Give the port of a server that tells what it was asked for, and sends others to ``/login``."""

    async def told(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.path_qs)

    async def refused(_: web.Request) -> web.StreamResponse:
        return web.Response(status=303, headers={"Location": "/login"})

    async def home(_: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther("/")

    app = web.Application()
    app.router.add_get("/refused", refused)
    app.router.add_get("/deep/refused", refused)
    app.router.add_get("/home", home)
    app.router.add_get("/{path:.*}", told)
    app.on_response_prepare.append(relative_redirects(PREFIX))
    runner = Runner(app, Connections(20), PREFIX)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize(
    "path", ["/", "/market?venue=x&symbol=A%2FB", "/static/app.css", "/a%20b", "//host/x", "/?a=b?c"]
)
async def test_paths_are_the_same_with_the_prefix_and_without(port: int, path: str) -> None:
    """Whether a proxy takes it off or not."""
    told = []
    async with ClientSession() as session:
        for prefix in ("", PREFIX):
            async with session.get(URL(f"http://127.0.0.1:{port}{prefix}{path}", encoded=True)) as answer:
                told.append((answer.status, await answer.text()))
    assert told[0] == told[1]
    assert told[0][0] == 200


async def test_what_only_begins_like_the_prefix_is_another_path(port: int) -> None:
    """Nothing is cut out of a longer name."""
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{PREFIX}-two/x") as answer:
        assert await answer.text() == f"{PREFIX}-two/x"


@pytest.mark.parametrize(("path", "target"), [("/refused", "login"), ("/deep/refused", "../login"), ("/home", "./")])
@pytest.mark.parametrize("prefix", ["", PREFIX])
async def test_redirects_stay_below_the_prefix(port: int, prefix: str, path: str, target: str) -> None:
    """They are relative, so a browser goes on from the address that it asked for."""
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{prefix}{path}", allow_redirects=False) as answer,
    ):
        assert answer.headers["Location"] == target
