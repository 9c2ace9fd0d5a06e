"""One answer for all who ask for the same, a few at a time, and none for who has left."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from streams.http import shared as limits
from streams.http.connections import Connections
from streams.http.shared import Shared
from tests.streams.http.serving import HOST, opened, serving
from tests.waiting import until

pytestmark = pytest.mark.timeout(20)


class Slow:
    """A handler that answers when told to, and counts."""

    def __init__(self) -> None:
        self.began = 0
        self.running = 0
        self.most = 0
        self.ended = 0
        self.go_on = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer with the query."""
        self.began += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go_on.wait()
            return web.Response(text=f"{request.query_string}:{self.began}", headers={"X-Liqmon-Notes": "old"})
        finally:
            self.running -= 1
            self.ended += 1


async def got(port: int, query: str = "") -> tuple[int, str, str]:
    """Ask and return status, note and text."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/slow{query}") as answer:
        return answer.status, answer.headers.get("X-Liqmon-Notes", ""), await answer.text()


async def test_all_who_ask_for_the_same_share_one_answer() -> None:
    """With its status and headers."""
    slow = Slow()
    async with serving({"/slow": Shared(slow).__call__}, Connections(100)) as port:
        asked = [asyncio.create_task(got(port)) for _ in range(20)]
        await until(lambda: slow.began == 1)
        slow.go_on.set()
        assert {await one for one in asked} == {(200, "old", ":1")}
    assert slow.began == 1


async def test_what_took_work_is_kept_for_a_moment_only() -> None:
    """In proportion to the work, and not longer than half a second: then it is made anew."""
    made = 0

    async def costly(_: web.Request) -> web.StreamResponse:
        nonlocal made
        made += 1
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        return web.Response(text=f":{made}")

    async with serving({"/slow": Shared(costly).__call__}, Connections(100)) as port:
        assert [(await got(port))[2] for _ in range(3)] == [":1"] * 3
        texts: list[str] = []
        while not texts or texts[-1] == ":1":
            texts.append((await got(port))[2])
    assert made == 2


async def test_what_only_waited_is_not_kept() -> None:
    """However long: another worker may answer by now."""
    made = 0

    async def patient(_: web.Request) -> web.StreamResponse:
        nonlocal made
        made += 1
        await asyncio.sleep(0.1)
        return web.Response(text=f":{made}")

    async with serving({"/slow": Shared(patient).__call__}, Connections(100)) as port:
        await got(port)
        await asyncio.sleep(0.05)
        assert (await got(port))[2] == ":2"


async def test_other_questions_have_other_answers() -> None:
    """The query counts, unless the route says that it does not."""
    slow, alike = Slow(), Slow()
    slow.go_on.set()
    alike.go_on.set()
    handlers = {"/slow": Shared(slow).__call__, "/alike": Shared(alike, by_query=False).__call__}
    async with serving(handlers, Connections(100)) as port:
        assert [(await got(port, query))[2].partition(":")[0] for query in ("?a=1", "?a=2")] == ["a=1", "a=2"]
    assert slow.began == 2


async def test_a_route_makes_few_answers_at_once_and_refuses_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait; beyond those, 503 says when to come again."""
    monkeypatch.setattr(limits, "WAITING", 6)
    slow = Slow()
    async with serving({"/slow": Shared(slow).__call__}, Connections(100)) as port:
        asked = [asyncio.create_task(got(port, f"?n={number}")) for number in range(20)]
        done: Callable[[], int] = lambda: sum(one.done() for one in asked)  # noqa: E731
        await until(lambda: done() == 20 - limits.RUNNING - 6)
        slow.go_on.set()
        statuses = sorted([(await one)[0] for one in asked])
    assert statuses == [200] * (limits.RUNNING + 6) + [503] * (20 - limits.RUNNING - 6)
    assert slow.most == limits.RUNNING


async def test_what_all_askers_have_left_is_not_made() -> None:
    """150 requests dropped at once leave nothing behind, and who stays gets an answer."""
    slow = Slow()
    async with serving({"/slow": Shared(slow).__call__}, Connections(500)) as port:
        request = b"GET /slow?n=%d HTTP/1.1\r\nHost: x\r\n\r\n"
        leaving = [await opened(port, request % number) for number in range(150)]
        staying = asyncio.create_task(got(port, "?n=1"))
        await until(lambda: slow.running == limits.RUNNING)
        for client in leaving:
            client.close()
        await until(lambda: slow.running <= 1 and slow.began - slow.ended <= 1)
        assert slow.began < 20
        slow.go_on.set()
        assert (await staying)[0] == 200


async def test_an_error_is_everybodys_and_not_kept() -> None:
    """All who waited hear of it; the next one makes a new attempt."""
    calls = 0
    go_on = asyncio.Event()

    async def fails_once(_: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            await go_on.wait()
            raise web.HTTPServiceUnavailable
        return web.Response(text="fine")

    shared = Shared(fails_once)
    async with serving({"/slow": shared.__call__}, Connections(100)) as port:
        asked = [asyncio.create_task(got(port)) for _ in range(5)]
        await until(lambda: [job.askers for job in shared._jobs.values()] == [5])
        go_on.set()
        assert [(await one)[0] for one in asked] == [503] * 5
        assert (await got(port))[0] == 200
    assert calls == 2
