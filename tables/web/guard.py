"""What every request meets: access, and errors that tell a client only what it did wrong."""

import logging
import math
from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streams.errors import Outage
from tables.web.access import TOO_OFTEN, Access, bearer
from tables.web.api.params import BadQuery

log = logging.getLogger(__name__)


def guard(access: Access) -> Middleware:
    """Return the middleware around every handler."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = await _refusal(access, request)
            return await handler(request) if refusal is None else refusal
        except (web.HTTPRedirection, ConnectionResetError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - logged where it is no answer by itself
            return _answer_to(request, error)

    return guarded


async def _refusal(access: Access, request: web.Request) -> web.StreamResponse | None:
    if not access.knows_host(request):
        return problem(request, HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
    if not access.allows(request):
        return await _unauthorized(access, request)
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and request.can_read_body:
        return problem(request, HTTPStatus.BAD_REQUEST, "the request must not have a body")
    return None


def _answer_to(request: web.Request, error: Exception) -> web.StreamResponse:
    if isinstance(error, web.HTTPNotFound):
        return problem(request, HTTPStatus.NOT_FOUND, "nothing is served at this path")
    if isinstance(error, web.HTTPException):
        answer = problem(request, HTTPStatus(error.status), error.reason)
        for name in (hdrs.ALLOW, hdrs.RETRY_AFTER):
            if name in error.headers:
                answer.headers[name] = error.headers[name]
        return answer
    if isinstance(error, BadQuery):
        return problem(request, HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, Outage):
        return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "Postgres does not answer; try again later")
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the worker's log says more")


def problem(request: web.Request, status: HTTPStatus, text: str) -> web.Response:
    """Return an error: JSON under ``/api/``, else plain text."""
    if request.path.startswith("/api/"):
        return web.Response(status=status, body=msgspec.json.encode({"error": text}), content_type="application/json")
    return web.Response(status=status, text=f"{status.value} {status.phrase}: {text}\n")


async def _unauthorized(access: Access, request: web.Request) -> web.StreamResponse:
    if bearer(request) is not None:
        if wait := access.seconds_to_wait(request):
            answer = problem(request, HTTPStatus.TOO_MANY_REQUESTS, TOO_OFTEN)
            answer.headers[hdrs.RETRY_AFTER] = str(math.ceil(wait))
            return answer
        await access.refused(request)
    wants_page = request.method == hdrs.METH_GET and not request.path.startswith("/api/")
    if wants_page and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: "/login"})
    answer = problem(request, HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer WEB_TOKEN")
    answer.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="liqmon"'
    return answer
