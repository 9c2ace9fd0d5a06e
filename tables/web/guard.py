"""What every response has in common: security headers, access, and errors that tell a client only what it did wrong."""

import logging
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streams.errors import Outage
from tables.web.access import Access
from tables.web.api.params import BadQuery

log = logging.getLogger(__name__)

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
    # Faust's server would name every version it is made of.
    "Server": "liqmon",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on a response; what is not said to be cached is not."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def guard(access: Access) -> Middleware:
    """Return the middleware around every handler."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = _refusal(access, request)
            return await handler(request) if refusal is None else refusal
        except (web.HTTPRedirection, ConnectionResetError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - logged where it is no answer by itself
            return _answer_to(request, error)

    return guarded


def _refusal(access: Access, request: web.Request) -> web.StreamResponse | None:
    if not access.knows_host(request):
        return problem(request, HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
    if not access.allows(request):
        return _unauthorized(request)
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and request.can_read_body:
        return problem(request, HTTPStatus.BAD_REQUEST, "the request must not have a body")
    return None


def _answer_to(request: web.Request, error: Exception) -> web.StreamResponse:
    if isinstance(error, web.HTTPException):
        answer = problem(request, HTTPStatus(error.status), error.reason)
        if hdrs.ALLOW in error.headers:
            answer.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
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


def _unauthorized(request: web.Request) -> web.StreamResponse:
    wants_page = request.method == hdrs.METH_GET and not request.path.startswith("/api/")
    if wants_page and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: "/login"})
    answer = problem(request, HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer WEB_TOKEN")
    answer.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="liqmon"'
    return answer
