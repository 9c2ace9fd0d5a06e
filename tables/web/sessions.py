"""Browsers' sessions: a cookie says when it ends and is signed with the token, so every replica knows it."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

SESSION_SECONDS: Final = 7 * 86_400
"""How long a session lasts: a page that is always open asks for the token once a week."""

MOST_REVOKED: Final = 10_000
"""Sessions that were ended before their time, 100 bytes each. Beyond so many the oldest login is forgotten."""

VERSION: Final = "1"
# Browsers keep 4096; a cookie of this program has about 110.
LONGEST_COOKIE: Final = 200


class Sessions:
    """Makes and judges cookies. ``clock`` returns unix seconds.

    A cookie is ``version.end.name.signature``. The key of the signature is made of the token: another token ends
    every session. A logout ends one, on this worker.
    """

    def __init__(self, token: bytes, clock: Callable[[], float]) -> None:
        self._key = hmac.digest(token, b"liqmon web sessions, version 1", hashlib.sha256)
        self._clock = clock
        # By name: when the session would have ended by itself.
        self._revoked: dict[str, int] = {}

    def begin(self) -> str:
        """Return the cookie of a new session."""
        unsigned = f"{VERSION}.{int(self._clock()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{unsigned}.{self._signature(unsigned)}"

    def is_open(self, cookie: str) -> bool:
        """Whether a cookie was made with this token, and its session has not ended."""
        found = self._read(cookie)
        return found is not None and found[1] > self._clock() and found[0] not in self._revoked

    def end(self, cookie: str) -> None:
        """End a session before its time, whoever has its cookie."""
        found = self._read(cookie)
        if found is None:
            return
        name, end = found
        self._revoked[name] = end
        if len(self._revoked) > MOST_REVOKED:
            now = self._clock()
            self._revoked = {known: until for known, until in self._revoked.items() if until > now}
        while len(self._revoked) > MOST_REVOKED:
            del self._revoked[min(self._revoked, key=self._revoked.__getitem__)]

    def _read(self, cookie: str) -> tuple[str, int] | None:
        if len(cookie) > LONGEST_COOKIE or not cookie.isascii():
            return None
        unsigned, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(unsigned)):
            return None
        _, end, name = unsigned.split(".")
        return name, int(end)

    def _signature(self, unsigned: str) -> str:
        return hmac.new(self._key, unsigned.encode(), hashlib.sha256).hexdigest()
