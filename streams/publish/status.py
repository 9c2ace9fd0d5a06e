"""``/metrics``, ``/healthz`` and ``/readyz`` of a process that has no other web server: the producer."""

import ssl
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from streams import exposition
from streams.errors import Fatal
from streams.http.connections import Connections
from streams.http.descriptors import most_connections
from streams.http.server import Runner, add_headers
from streams.http.shared import Shared


class Facts(msgspec.Struct, frozen=True):
    """What a process knows of its health: whether it does its work at present, and why."""

    ready: bool
    details: dict[str, Any]


class StatusServer:
    """Serves what ``facts`` returns. ``port`` 0 takes a free one; :attr:`port` then says which.

    With ``tls`` it speaks HTTPS.
    """

    def __init__(
        self, host: str, port: int, facts: Callable[[], Facts], tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        self._host = host
        self._facts = facts
        self._tls = tls
        self._runner: Runner | None = None
        self.port = port

    async def start(self) -> None:
        """Listen. Raises :class:`Fatal` where the port is taken or may not be used."""
        app = web.Application()
        for path, handler in (("/metrics", self._metrics), ("/healthz", self._healthz), ("/readyz", self._readyz)):
            app.router.add_get(path, Shared(handler, by_query=False).__call__)
        app.on_response_prepare.append(add_headers)
        self._runner = Runner(app, Connections(most_connections()), tls=self._tls)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise Fatal(
                f"cannot listen on {self._host}:{self.port} for /metrics ({error.strerror or error}): "
                "set PRODUCER_METRICS_PORT to a free port"
            ) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        self._facts()
        return await exposition.answer(request)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"alive": True} | self._facts().details)

    async def _readyz(self, _request: web.Request) -> web.Response:
        facts = self._facts()
        return _json(200 if facts.ready else 503, {"ready": facts.ready} | facts.details)


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
