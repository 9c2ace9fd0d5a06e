"""Who is let in, and that a token is asked for where the network could come in."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from streams.errors import BadSetting
from streams.http.server import add_headers
from streams.settings import load_settings
from tables.web.access import Access
from tables.web.attempts import AT_ONCE
from tables.web.guard import guard

TOKEN = "correct horse battery"
Client = TestClient[web.Request, web.Application]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "worker.example"])
def test_the_network_needs_a_token(host: str) -> None:
    """Binding to more than loopback without WEB_TOKEN stops the start and names the variable."""
    with pytest.raises(BadSetting, match="WEB_TOKEN: must be set"):
        Access(load_settings(web_host=host))
    assert Access(load_settings(web_host=host, web_token=TOKEN)).has_token


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    """On this machine only, no token is asked for."""
    assert not Access(load_settings(web_host=host)).has_token


def test_a_short_token_is_refused() -> None:
    """A token that could be guessed stops the start, without being repeated."""
    with pytest.raises(BadSetting, match="WEB_TOKEN") as refused:
        load_settings(web_token="tiny-secret")
    assert "tiny-secret" not in str(refused.value)


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Give a client of a view with a token."""
    monkeypatch.setattr("tables.web.access.WRONG_TOKEN_SECONDS", 0)
    access = Access(load_settings(web_host="0.0.0.0", web_token=TOKEN))

    async def secret(_: web.Request) -> web.StreamResponse:
        return web.Response(text="secret")

    async def broken(_: web.Request) -> web.StreamResponse:
        raise RuntimeError("the password is swordfish")

    server = web.Application(middlewares=[guard(access)])
    for path in ("/", "/api/windows", "/metrics", "/healthz", "/readyz", "/login", "/static/app.css"):
        server.router.add_get(path, secret)
    server.router.add_get("/api/broken", broken)
    server.router.add_post("/login", access.login)
    server.router.add_post("/logout", access.logout)
    server.on_response_prepare.append(add_headers)
    async with TestClient(TestServer(server)) as client:
        yield client


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/login", "/static/app.css"])
async def test_what_is_open(client: Client, path: str) -> None:
    """Prometheus, health checks and the login page need no token."""
    assert (await client.get(path)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff"},
        {"Cookie": f"liqmon_session={TOKEN}"},
        {"Cookie": "liqmon_session="},
    ],
)
async def test_without_the_token_there_is_nothing(client: Client, headers: dict[str, str]) -> None:
    """A missing or wrong token is answered with 401, and says how to give it."""
    answer = await client.get("/api/windows", headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "secret" not in await answer.text()


async def test_the_header_opens(client: Client) -> None:
    """Programs send the token as a bearer."""
    assert (await client.get("/api/windows", headers={"Authorization": f"Bearer {TOKEN}"})).status == 200


async def test_a_browser_is_sent_to_the_login_page(client: Client) -> None:
    """Who asks for a page without a cookie is shown where to log in."""
    answer = await client.get("/", headers={"Accept": "text/html"}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")


async def test_logging_in_and_out(client: Client) -> None:
    """The form gives a cookie that is not the token, out of scripts' reach; logging out takes it back."""
    answer = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.cookies["liqmon_session"]
    assert TOKEN not in cookie.value
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    async with ClientSession(cookies={"liqmon_session": cookie.value}) as session:
        assert (await session.get(client.make_url("/api/windows"))).status == 200
    out = await client.post("/logout", cookies={"liqmon_session": cookie.value}, allow_redirects=False)
    assert out.cookies["liqmon_session"]["max-age"] == "0"
    async with ClientSession(cookies={"liqmon_session": cookie.value}) as copy:
        assert (await copy.get(client.make_url("/api/windows"))).status == 401


async def test_who_guesses_has_to_wait(client: Client) -> None:
    """By form or by header: after ten wrong tokens 429 says for how long, and not even the right one is looked at."""
    session = (await client.post("/login", data={"token": TOKEN}, allow_redirects=False)).cookies["liqmon_session"]
    client.session.cookie_jar.clear()
    for number in range(10):
        if number % 2:
            answer = await client.post("/login", data={"token": f"wrong {number}"}, allow_redirects=False)
            assert answer.headers["Location"] == "/login?wrong=1"
        else:
            wrong = {"Authorization": f"Bearer wrong {number}"}
            assert (await client.get("/api/windows", headers=wrong)).status == 401
    form = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
    header = await client.get("/api/windows", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (form.status, header.status) == (429, 429)
    assert 0 < int(form.headers["Retry-After"]) <= 6
    assert 0 < int(header.headers["Retry-After"]) <= 6
    assert not form.cookies
    kept = {"Cookie": f"liqmon_session={session.value}"}
    assert (await client.get("/api/windows", headers=kept)).status == 200


async def test_a_wrong_token_takes_its_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the header as in the form; one that is missing does not."""
    monkeypatch.setattr("tables.web.access.WRONG_TOKEN_SECONDS", 0.2)
    began = time.monotonic()
    await client.get("/api/windows")
    assert time.monotonic() - began < 0.2
    for number, request in enumerate(
        (
            client.post("/login", data={"token": "wrong"}, allow_redirects=False),
            client.get("/api/windows", headers={"Authorization": "Bearer wrong"}),
        ),
        1,
    ):
        await request
        assert time.monotonic() - began > 0.2 * number


async def test_a_form_that_does_not_come_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces a form and does not send it gets 408."""
    monkeypatch.setattr("tables.web.access.FORM_SECONDS", 0.1)

    async def never() -> AsyncIterator[bytes]:
        yield b"token="
        await asyncio.Event().wait()

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/login", data=never(), headers=form, allow_redirects=False)
    assert answer.status == 408


async def test_forms_begun_together_are_limited_as_forms_one_after_the_other(client: Client) -> None:
    """None of them has shown a token when it begins."""
    begun, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def slow(token: str) -> AsyncIterator[bytes]:
        yield b"tok"
        begun.release()
        await may_end.wait()
        yield f"en={token}".encode()

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    tokens = [f"wrong{number}" for number in range(2 * AT_ONCE)]
    posts = [
        asyncio.create_task(client.post("/login", data=slow(token), headers=form, allow_redirects=False))
        for token in tokens
    ]
    for _ in posts:
        await begun.acquire()
    may_end.set()
    statuses = sorted([(await post).status for post in posts])
    assert statuses == [303] * AT_ONCE + [429] * AT_ONCE


@pytest.mark.parametrize("form", [{"token": "wrong"}, {"token": ""}, {}, {"token": "\x00"}])
async def test_a_wrong_token_gives_no_cookie(client: Client, form: dict[str, str]) -> None:
    """The login page says that it was wrong."""
    answer = await client.post("/login", data=form, allow_redirects=False)
    assert answer.headers["Location"] == "/login?wrong=1"
    assert not answer.cookies


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": b"x" * 5000, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 413),
        ({"data": b"{}", "headers": {"Content-Type": "application/json"}}, 415),
        ({"data": b"token=%ff%fe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 303),
        (
            {"data": b"token=x", "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=no-such"}},
            400,
        ),
    ],
)
async def test_an_odd_form_is_refused(client: Client, request_: dict[str, Any], status: int) -> None:
    """Large, of another type, or not text: a 4xx or the login page, never a 500."""
    assert (await client.post("/login", allow_redirects=False, **request_)).status == status


async def test_a_bug_is_not_shown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged here and nothing of it told there."""
    answer = await client.get("/api/broken", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 500
    text = await answer.text()
    assert "swordfish" not in text
    assert "Traceback" not in text
    assert "swordfish" in caplog.text
