"""How a worker proves to another that it is one: it signs each request with a secret that workers have in common.

What is signed holds the address asked. So a proof is of no use anywhere else, and for no other question.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import hdrs

SCHEME: Final = "Liqmon-Peer"
VERSION: Final = "1"

CLOCK_SECONDS: Final = 120.0
"""How far the clocks of two workers may be apart: with 15 s of ``MAX_CLOCK_SKEW_SECONDS``, four times what two that are
right can be. Workers sign and look by the broker's clock where that tells its time."""

MOST_SEEN: Final = 100_000
"""Proofs that are remembered, 200 bytes each, so that none counts twice: 400 a second for as long as one is good."""

_PROOF: Final = re.compile(r"1\.([0-9]{1,15})\.([\w-]{16,32})\.([0-9a-f]{64})", re.ASCII).fullmatch


class Proofs:
    """Makes and judges proofs. ``secrets_now`` returns the secrets that are good, that to sign with first.

    ``clock`` returns unix seconds.
    """

    def __init__(self, secrets_now: Callable[[], Sequence[str]], clock: Callable[[], float] = time.time) -> None:
        self._secrets_now = secrets_now
        self._clock = clock
        # By signature, in the order in which they came: when it is too old to be good by itself.
        self._seen: dict[str, float] = {}

    def headers(self, method: str, address: str, target: str) -> dict[str, str]:
        """Return the header of a request to a worker; none without a secret.

        ``address`` is the worker's as the group names it, ``target`` the path and the query as they are sent.
        """
        for secret in self._secrets_now():
            unsigned = f"{VERSION}.{int(self._clock() * 1000)}.{secrets.token_urlsafe(16)}"
            return {hdrs.AUTHORIZATION: f"{SCHEME} {unsigned}.{_signature(secret, unsigned, method, address, target)}"}
        return {}

    def accepts(self, method: str, address: str, target: str, header: str) -> bool:
        """Whether the header of a request proves that a worker asks ``address``, which is this one, now.

        The same header is not accepted twice.
        """
        scheme, _, proof = header.partition(" ")
        found = _PROOF(proof)
        if scheme != SCHEME or found is None:
            return False
        now, made, signature = self._clock(), int(found[1]) / 1000, found[3]
        if abs(now - made) > CLOCK_SECONDS:
            return False
        unsigned = proof.rpartition(".")[0]
        # Each of them is compared, so that the time tells nothing of which it was.
        equal = [
            hmac.compare_digest(signature, _signature(secret, unsigned, method, address, target))
            for secret in self._secrets_now()
        ]
        return any(equal) and self._is_first(signature, now)

    def _is_first(self, signature: str, now: float) -> bool:
        if signature in self._seen:
            return False
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] > now and len(self._seen) < MOST_SEEN:
                break
            del self._seen[oldest]
        # One made by a clock that is ahead is good for twice as long.
        self._seen[signature] = now + 2 * CLOCK_SECONDS
        return True


def _signature(secret: str, unsigned: str, method: str, address: str, target: str) -> str:
    key = hmac.digest(secret.encode(), b"liqmon peers, version 1", hashlib.sha256)
    return hmac.new(key, "\n".join((unsigned, method, address, target)).encode(), hashlib.sha256).hexdigest()
