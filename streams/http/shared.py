"""Answers that cost something: made once for everybody who asks for the same, a few at a time, for nobody in vain."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RUNNING: Final = 4
"""Answers of a route that are made at once. Making one gives the loop back every few milliseconds."""

WAITING: Final = 500
"""Others that wait for their turn: pages of so many markets ask at the same moment for what only one of them shows."""

# An answer is kept for four times as long as the loop's thread worked while it was made; waiting costs nothing. So the
# same question, asked without end, takes a fifth of the thread's time at most. A cheap answer is never old, and no
# answer is older than a page notices.
KEPT_PER_COST: Final = 4
MOST_KEPT_SECONDS: Final = 0.5
MOST_KEPT_BYTES: Final = 64 * 1024**2


class _Job:
    __slots__ = ("askers", "task")

    def __init__(self, task: asyncio.Task[web.Response]) -> None:
        self.task = task
        self.askers = 0


class Shared:
    """Wraps the handler of one route, whose answer depends on path and query and on nothing else of the request.

    Work whose askers have all left is cancelled. Whoever asks beyond :data:`WAITING` is told to come again. With
    ``by_query=False`` the answer does not depend on the query either.
    """

    def __init__(self, handler: Handler, *, by_query: bool = True) -> None:
        self._handler = handler
        self._by_query = by_query
        self._slots = asyncio.Semaphore(RUNNING)
        self._jobs: dict[str, _Job] = {}
        self._kept: dict[str, web.Response] = {}
        self._kept_bytes = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer a request. Raises what making the answer raises, but for errors that are answers themselves."""
        key = request.path_qs if self._by_query else ""
        made = self._kept.get(key)
        if made is None:
            if key not in self._jobs and len(self._jobs) >= RUNNING + WAITING:
                raise web.HTTPServiceUnavailable(
                    reason="too many requests wait for this; try again later", headers={hdrs.RETRY_AFTER: "1"}
                )
            made = await self._join(key, request)
        return web.Response(status=made.status, body=made.body, headers=made.headers)

    async def _join(self, key: str, request: web.Request) -> web.Response:
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job(asyncio.create_task(self._make(key, request)))
        job.askers += 1
        try:
            return await asyncio.shield(job.task)
        finally:
            job.askers -= 1
            if not job.askers:
                # Whoever comes now begins anew, with a task that is not about to end.
                if self._jobs.get(key) is job:
                    del self._jobs[key]
                job.task.cancel()

    async def _make(self, key: str, request: web.Request) -> web.Response:
        async with self._slots:
            # A client that left at once is noticed in this turn.
            await asyncio.sleep(0)
            began = time.thread_time()
            try:
                made = await self._handler(request)
            except web.HTTPException as error:
                # It is an answer too. As an exception it could be sent to one client only, and the others would wait.
                made = error
            if not isinstance(made, web.Response):
                raise TypeError(f"{request.path} answers piece by piece; that cannot be shared")
            if made.status == HTTPStatus.OK:
                self._keep(key, made, KEPT_PER_COST * (time.thread_time() - began))
            return made

    def _keep(self, key: str, made: web.Response, seconds: float) -> None:
        size = len(made.body) if isinstance(made.body, bytes) else 0
        if key in self._kept or self._kept_bytes + size > MOST_KEPT_BYTES:
            return
        self._kept[key] = made
        self._kept_bytes += size
        asyncio.get_running_loop().call_later(min(seconds, MOST_KEPT_SECONDS), self._forget, key, size)

    def _forget(self, key: str, size: int) -> None:
        del self._kept[key]
        self._kept_bytes -= size
