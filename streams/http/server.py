"""The server of both: it limits connections, and refuses bytes that are not HTTP as it refuses other requests."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast
from weakref import WeakSet

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from streams.http.connections import Connections
from streams.http.handshake import Handshake
from streams.http.prefix import without_prefix

log = logging.getLogger(__name__)

MakeContext = Callable[[], ssl.SSLContext]

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The library's server would name every version it is made of.
    "Server": "liqmon",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on a response; what is not said to be cached is not."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


class Protocol(RequestHandler):
    """One connection. A request that cannot be parsed is the client's fault and causes no traceback here."""

    __slots__ = ("_before", "_connections", "_wire")

    def __init__(
        self,
        manager: web.Server,
        connections: Connections,
        before: Callable[[], None] | None = None,
        **options: Any,  # aiohttp's
    ) -> None:
        super().__init__(manager, **options)
        self._before = before
        self._connections = connections
        self._wire: asyncio.Transport | None = None

    def unsent(self) -> int:
        """Return how many bytes the client has not taken yet."""
        return self._wire.get_write_buffer_size() if self._wire is not None else 0

    def drop(self) -> None:
        """Give the descriptor back at once. Closing would wait for a client that takes nothing."""
        if self._wire is not None:
            self._wire.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request. What held the place is told ``before``."""
        if self._before is not None:
            self._before()
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is still worked at for the client."""
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        known = self._request_count
        super().data_received(data)
        if self._request_count != known:
            self._connections.has_asked(self)
        else:
            self._connections.asks(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of an answer, then wait for the next request."""
        finished = await super().finish_response(request, resp, start_time)
        if not self._messages:
            self._connections.is_answered(self)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it repeats what the client sent
    ) -> web.StreamResponse:
        """Answer what never reached a handler, or broke outside of one, and end the connection."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request from %s failed", request.remote, exc_info=exc)
        else:
            log.debug("a request from %s was not understood (%s)", request.remote, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way; another cannot follow")
        answer = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=SECURITY_HEADERS)
        answer.headers[hdrs.CACHE_CONTROL] = "no-store"
        answer.force_close()
        return answer


class Server(web.Server):
    """Makes a :class:`Protocol` of each connection. What is worked at for a client ends when the client leaves."""

    def __init__(
        self, made: web.Server, connections: Connections, prefix: str, tls: MakeContext | None, options: dict[str, Any]
    ) -> None:
        super().__init__(
            made.request_handler,
            request_factory=without_prefix(prefix, made.request_factory),
            handler_cancellation=True,
            loop=made._loop,
            **options,
        )
        self._limited = connections
        self._tls = tls
        self._handshakes: WeakSet[Handshake] = WeakSet()

    def __call__(self) -> Protocol | Handshake:  # type: ignore[override]  # asyncio takes any protocol
        """Return the protocol of a new connection."""
        if self._tls is None:
            return self._answering()
        handshake = Handshake(self._answering, self._limited, self._tls)
        self._handshakes.add(handshake)
        return handshake

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Close every connection, and wait for no handshake."""
        for handshake in list(self._handshakes):
            handshake.drop()
        await super().shutdown(timeout)

    def _answering(self, before: Callable[[], None] | None = None) -> Protocol:
        return Protocol(self, self._limited, before, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on a :class:`Server`; Faust's web driver takes it in place of its own.

    ``prefix`` is what paths may begin with, in front of the application's own (:mod:`streams.http.prefix`). With
    ``tls`` it speaks HTTPS; each connection is given the context that ``tls`` then returns.
    """

    def __init__(
        self, app: web.Application, connections: Connections, prefix: str = "", tls: MakeContext | None = None
    ) -> None:
        super().__init__(app, access_log=None)
        self._limited = connections
        self._prefix = prefix
        self._tls = tls

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        self._limited.start()
        return Server(made, self._limited, self._prefix, self._tls, made._kwargs)

    async def cleanup(self) -> None:
        """Stop listening and close every connection."""
        self._limited.stop()
        await super().cleanup()
