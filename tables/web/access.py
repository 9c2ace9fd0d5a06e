"""Who may look: anyone on this machine, or whoever has the token where the view binds to more than loopback."""

import asyncio
import hashlib
import hmac
import ipaddress
from typing import Any, Final

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy
from pydantic import SecretStr
from yarl import URL

from streams.errors import BadSetting
from streams.settings import Settings

COOKIE: Final = "liqmon_session"
SESSION_SECONDS: Final = 30 * 86_400
"""How long a browser keeps its session: a page that is always open asks for the token once a month."""

OPEN_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz", "/login"})
OPEN_PREFIXES: Final = ("/static/",)
MAX_FORM_BYTES: Final = 4096
"""Of a login, whose form holds nothing but a token."""

# Each wrong guess costs this long. Trying all tokens of the least length would take longer than the universe exists.
WRONG_TOKEN_SECONDS: Final = 0.5
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Decides about requests. Raises :class:`BadSetting` where the settings would let anyone on the network in."""

    def __init__(self, settings: Settings) -> None:
        token: SecretStr | None = settings.web_token
        if token is None and not is_loopback(settings.web_host):
            raise BadSetting(
                f"WEB_TOKEN: must be set (at least 16 characters) where WEB_HOST is not loopback: {settings.web_host} "
                "can be reached from other machines"
            )
        self._token = token.get_secret_value().encode() if token is not None else None
        self._session = _session(self._token) if self._token is not None else ""
        public = URL(settings.web_public_url).host if settings.web_public_url else None
        self._hosts = LOCAL_NAMES | {name.lower() for name in (settings.web_host, public) if name}

    @property
    def has_token(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request to another worker."""
        return {hdrs.AUTHORIZATION: f"Bearer {self._token.decode()}"} if self._token is not None else {}

    def allows(self, request: web.Request) -> bool:
        """Whether a request may see what it asks for."""
        if request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIXES) or self._token is None:
            return True
        return self._has_token(request.headers) or _same(request.cookies.get(COOKIE, ""), self._session)

    def knows_host(self, request: web.Request) -> bool:
        """Whether the request names this machine.

        Another site's name may be made to resolve to loopback. Without a token, that site must not read the view
        through the browser of its visitor.
        """
        if self._token is not None or request.path in OPEN_PATHS:
            return True
        return (_host(request) or "") in self._hosts

    def _has_token(self, headers: CIMultiDictProxy[str]) -> bool:
        scheme, _, given = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given.strip())

    def is_token(self, given: str) -> bool:
        """Whether this is the token, in a time that does not tell how much of it is right."""
        return self._token is not None and _same(given, self._token.decode())

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Take the token from the form and give a cookie for it. The cookie does not contain the token."""
        if not self.has_token:
            raise web.HTTPSeeOther("/")
        if (request.content_length or 0) > MAX_FORM_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_FORM_BYTES, actual_size=request.content_length or 0)
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType
        try:
            form: Any = await request.post()
        except (ValueError, LookupError):
            raise web.HTTPBadRequest(text="the form cannot be read") from None
        given = form.get("token", "")
        if not isinstance(given, str) or not self.is_token(given.strip()):
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            raise web.HTTPSeeOther("/login?wrong=1")
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        is_https = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        response.set_cookie(
            COOKIE, self._session, max_age=SESSION_SECONDS, httponly=True, samesite="Strict", secure=is_https
        )
        return response

    async def logout(self, _: web.Request) -> web.StreamResponse:
        """Delete the browser's cookie."""
        response = web.Response(status=303, headers={hdrs.LOCATION: "/login"})
        response.del_cookie(COOKIE)
        return response


def _session(token: bytes) -> str:
    return hmac.new(token, b"liqmon web session", hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())


def _host(request: web.Request) -> str | None:
    try:
        host = URL(f"http://{request.headers.get(hdrs.HOST, '')}").host
    except ValueError:
        return None
    return host.lower() if host else None
