"""A Redis that only makes things cheaper: every call has a deadline, and one that fails is left alone and probed.

Nobody waits for it longer than the deadline, and after the first failure nobody waits at all until it answers fast
again.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from streams import metrics
from streams.backoff import Delays, doubling
from streams.errors import Outage
from streams.secured import REDIS_TLS, Files
from streams.unexpected import Library

log = logging.getLogger(__name__)

# Opening a connection in another data centre takes tenths of a second. Redis is an extra here, so nobody waits long.
CONNECT_SECONDS: Final = 2.0
# One slow answer is forgiven soon. A Redis that is away for long costs a connection every four seconds.
FIRST_PROBE_SECONDS: Final = 0.5
LAST_PROBE_SECONDS: Final = 4.0
# How often the time without Redis is added to its metric: more often than Prometheus scrapes.
COUNT_SECONDS: Final = 1.0
# A loop that was busy for longer than the deadline finds timer and answer at once: the answer then has these turns.
GRACE_TURNS: Final = 5

REDIS: Final = Library("the Redis client", RedisError, OSError, TimeoutError, RuntimeError)
"""RuntimeError is uvloop's word for a connection that is closed already."""


class Script:
    """A Lua script and its SHA-1, by which a server that has seen it knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def tls_options(url: str, files: Files | None) -> dict[str, Any]:
    """Return the client's options for certificates; none where the URL asks for no TLS."""
    if files is None or not url.startswith(REDIS_TLS):
        return {}
    found = {"ssl_ca_certs": files.ca, "ssl_certfile": files.certificate, "ssl_keyfile": files.key or files.certificate}
    return {name: str(path) for name, path in found.items() if path is not None}


def connect(
    url: str, files: Files | None = None, *, timeout_seconds: float | None = None, connections: int = 4
) -> Redis:
    """Return a client that does not try again by itself and speaks the protocol of every Redis since 2.0.

    ``files`` are the certificates for a ``rediss://`` URL.
    """
    return Redis.from_url(
        url,
        **tls_options(url, files),
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=timeout_seconds,
        max_connections=connections,
    )


async def evaluate(client: Redis, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    """Run a script in one round trip; in two where the server has not seen it, or has forgotten."""
    try:
        return await client.evalsha(script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        return await client.eval(script.text, len(keys), *keys, *arguments)


def address_of(client: Redis) -> str:
    """Return where a client connects to, without its password."""
    options = client.connection_pool.connection_kwargs
    return options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


class RedisLink:
    """One Redis as seen by one part of the program; ``without`` says in the log what it goes without meanwhile.

    Not available before :meth:`open`. Time without it adds to ``liqmon_redis_unavailable_seconds_total``.
    """

    def __init__(self, url: str, files: Files | None = None, *, deadline_seconds: float, without: str) -> None:
        self._client = connect(url, files)
        self._deadline_seconds = deadline_seconds
        self._without = without
        self._answering = asyncio.Event()
        self._probing: asyncio.Task[None] | None = None
        self._away_since = 0.0
        self._counted_until = 0.0
        self._is_said = False

    @property
    def available(self) -> bool:
        """Whether it answered fast the last time it was asked."""
        return self._answering.is_set()

    async def open(self, wait_seconds: float = 1.0) -> None:
        """Connect in the background; return when it answers, or after ``wait_seconds``."""
        if self._probing is None:
            self._leave_alone(0.0, *doubling(FIRST_PROBE_SECONDS, LAST_PROBE_SECONDS))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answering.wait(), wait_seconds)

    async def close(self) -> None:
        """Give the connections up."""
        self._answering.clear()
        if self._probing is not None:
            self._count()
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        with contextlib.suppress(Outage), REDIS.asked("Redis"):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.aclose()

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script. Raises :class:`Outage` at once while Redis is left alone, else after the deadline at most."""
        if not self.available:
            raise Outage("Redis is left alone until it answers")
        task = asyncio.create_task(evaluate(self._client, script, keys, arguments))
        try:
            await asyncio.wait((task,), timeout=self._deadline_seconds)
            for _ in range(GRACE_TURNS):
                if task.done():
                    return task.result()
                await asyncio.sleep(0)
            error: Exception = TimeoutError()
        except Exception as raised:  # noqa: BLE001 - whatever it is, Redis is not of use
            error = raised
        finally:
            task.cancel()
        self._fail(error)
        raise Outage(f"Redis does not answer ({type(error).__name__})")

    def _fail(self, error: BaseException) -> None:
        if self.available:
            self._say_away(error)
            self._leave_alone(*doubling(FIRST_PROBE_SECONDS, LAST_PROBE_SECONDS))

    def _leave_alone(self, *probes_after_seconds: float) -> None:
        self._answering.clear()
        self._away_since = self._counted_until = time.monotonic()
        self._probing = asyncio.create_task(self._probe(Delays(probes_after_seconds)))

    async def _probe(self, delays: Delays) -> None:
        """Wait until Redis answers within the deadline."""
        while True:
            await self._sleep(delays.next_seconds())
            try:
                # What a connection that failed still has to say belongs to calls that are over.
                await self._client.connection_pool.disconnect(inuse_connections=True)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._client.ping()
                async with asyncio.timeout(self._deadline_seconds):
                    await self._client.ping()
            except Exception as error:  # noqa: BLE001 - whatever it is, Redis is not of use
                self._say_away(error)
            else:
                self._count()
                self._say_back()
                self._answering.set()
                return

    async def _sleep(self, seconds: float) -> None:
        while seconds > 0:
            await asyncio.sleep(min(seconds, COUNT_SECONDS))
            seconds -= COUNT_SECONDS
            self._count()

    def _count(self) -> None:
        if not self.available:
            now = time.monotonic()
            metrics.redis_unavailable_seconds.inc(now - self._counted_until)
            self._counted_until = now

    def _say_away(self, error: BaseException) -> None:
        why = REDIS.notice(error)
        if not self._is_said:
            self._is_said = True
            where = address_of(self._client)
            log.warning(
                "Redis at %s does not answer (%s): going on without %s until it does", where, why, self._without
            )

    def _say_back(self) -> None:
        if self._is_said:
            self._is_said = False
            log.info("Redis answers again after %.1f s", time.monotonic() - self._away_since)
