"""``/healthz`` and ``/readyz`` of a worker."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from tables.web.cluster.workers import readiness
from tables.web.worker import Worker


class Health:
    """The handlers for those who watch over the worker itself."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """Answer that the event loop runs."""
        return _json({"status": "running"}, 200)

    async def readyz(self, _: web.Request) -> web.StreamResponse:
        """Answer whether this worker is of use: 200 with the facts, or 503 with them.

        ``clock`` says what is wrong with its machine's clock, as a producer's does; empty while that is right.
        """
        facts = await readiness(self._worker)
        return _json({**facts, "clock": self._worker.clock_fault()}, 200 if all(facts.values()) else 503)


def _json(body: Mapping[str, str | bool], status: int) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
