"""Refuses bytes that are not HTTP, or break its limits, as the view refuses others; aiohttp would name its versions."""

import logging
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from tables.web.guard import SECURITY_HEADERS

log = logging.getLogger(__name__)


class Protocol(RequestHandler):
    """One connection. A request that cannot be parsed is the client's fault and causes no traceback here."""

    __slots__ = ()

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
    """Makes a :class:`Protocol` of each connection."""

    def __call__(self) -> Protocol:
        """Return the protocol of a new connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on a :class:`Server`; Faust's web driver takes it in place of its own."""

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        return Server(made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
