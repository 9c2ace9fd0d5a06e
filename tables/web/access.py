"""Who may look: anyone on this machine, or whoever has the token where the view binds to more than loopback."""

import asyncio
import hashlib
import hmac
import math
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import SecretStr
from yarl import URL

from streams.preflight import check_token
from streams.settings import Settings
from tables.web.attempts import Attempts
from tables.web.sessions import SESSION_SECONDS, Sessions

COOKIE: Final = "liqmon_session"

OPEN_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz", "/login"})
OPEN_PREFIXES: Final = ("/static/",)
MAX_FORM_BYTES: Final = 4096
"""Of a login, whose form holds nothing but a token."""

# Each wrong guess costs this long, beside what its address must wait (tables/web/attempts.py).
WRONG_TOKEN_SECONDS: Final = 0.5

FORM_SECONDS: Final = 10.0
"""How long a login's form may take to arrive."""

TOO_OFTEN: Final = "too many wrong tokens from this address; wait, then try again"
API: Final = "/api/"
PROVEN: Final = web.RequestKey("liqmon_of_worker", bool)
"""Where a request keeps whether it is another worker's."""

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Access:
    """Decides about requests.

    Raises :class:`streams.errors.BadSetting` where the settings would let anyone on the network in.

    ``now`` returns unix seconds, by which sessions end. ``is_worker`` says of a request whether another worker of the
    group proves that it asks.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        is_worker: Callable[[web.Request], bool] | None = None,
    ) -> None:
        token: SecretStr | None = settings.web_token
        check_token(settings)
        self._token = token.get_secret_value().encode() if token is not None else None
        self._sessions = Sessions(self._token, now) if self._token is not None else None
        self._is_worker = is_worker
        self._attempts = Attempts(time.monotonic)
        public = URL(settings.web_public_url).host if settings.web_public_url else None
        self._hosts = LOCAL_NAMES | {name.lower() for name in (settings.web_host, public) if name}

    @property
    def has_token(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    def allows(self, request: web.Request) -> bool:
        """Whether a request may see what it asks for."""
        if request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIXES) or self._token is None:
            return True
        return self._has_session(request) or self._has_token(request) or self._is_of_worker(request)

    def seconds_to_wait(self, request: web.Request) -> float:
        """Return how long the address of a request must wait before another token of it is looked at."""
        return self._attempts.seconds_to_wait(request.remote)

    async def refused(self, request: web.Request) -> None:
        """Note a token that is wrong, and take as long as that costs."""
        self._attempts.wrong(request.remote)
        await asyncio.sleep(WRONG_TOKEN_SECONDS)

    def knows_host(self, request: web.Request) -> bool:
        """Whether the request names this machine.

        Another site's name may be made to resolve to loopback. Without a token, that site must not read the view
        through the browser of its visitor.
        """
        if self._token is not None or request.path in OPEN_PATHS:
            return True
        return (_host(request) or "") in self._hosts

    def _has_session(self, request: web.Request) -> bool:
        return self._sessions is not None and self._sessions.is_open(request.cookies.get(COOKIE, ""))

    def _has_token(self, request: web.Request) -> bool:
        given = bearer(request)
        return given is not None and not self.seconds_to_wait(request) and self.is_token(given)

    def _is_of_worker(self, request: web.Request) -> bool:
        """Whether another worker asks for data. A stream asks again and again, and its proof is good once."""
        if PROVEN not in request:
            is_question = request.method == hdrs.METH_GET and request.path.startswith(API)
            request[PROVEN] = is_question and self._is_worker is not None and self._is_worker(request)
        return request[PROVEN]

    def is_token(self, given: str) -> bool:
        """Whether this is the token, in a time that tells neither how much of it is right nor how long it is."""
        return self._token is not None and hmac.compare_digest(
            hashlib.sha256(given.encode(errors="surrogateescape")).digest(), hashlib.sha256(self._token).digest()
        )

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Take the token from the form and give a cookie for it. The cookie does not contain the token."""
        if self._sessions is None:
            raise web.HTTPSeeOther("/")
        if (request.content_length or 0) > MAX_FORM_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_FORM_BYTES, actual_size=request.content_length or 0)
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType
        self._limit(request)
        try:
            async with asyncio.timeout(FORM_SECONDS):
                form: Any = await request.post()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except (ValueError, LookupError):
            raise web.HTTPBadRequest(text="the form cannot be read") from None
        # Again: any number of forms may have been begun while the limit was not reached.
        self._limit(request)
        given = form.get("token", "")
        if not isinstance(given, str) or not self.is_token(given.strip()):
            await self.refused(request)
            raise web.HTTPSeeOther("/login?wrong=1")
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        is_https = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        response.set_cookie(
            COOKIE, self._sessions.begin(), max_age=SESSION_SECONDS, httponly=True, samesite="Strict", secure=is_https
        )
        return response

    def _limit(self, request: web.Request) -> None:
        if wait := self.seconds_to_wait(request):
            raise web.HTTPTooManyRequests(reason=TOO_OFTEN, headers={hdrs.RETRY_AFTER: str(math.ceil(wait))})

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """End the session on this worker, whoever has a copy of its cookie, and delete the browser's."""
        if self._sessions is not None:
            self._sessions.end(request.cookies.get(COOKIE, ""))
        response = web.Response(status=303, headers={hdrs.LOCATION: "/login"})
        response.del_cookie(COOKIE)
        return response


def bearer(request: web.Request) -> str | None:
    """Return the token that a request carries in its header, if any."""
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None


def _host(request: web.Request) -> str | None:
    try:
        host = URL(f"http://{request.headers.get(hdrs.HOST, '')}").host
    except ValueError:
        return None
    return host.lower() if host else None
