"""A Redis that only makes things cheaper: every call has a deadline, and one that fails is left alone and probed.

Nobody waits for it longer than the deadline, and after the first failure nobody waits at all until it takes writes
within the deadline again.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from streams import keys, metrics
from streams.backoff import Delays, doubling
from streams.errors import Outage
from streams.redis_news import RedisNews, Slow
from streams.secured import REDIS_TLS, Files
from streams.unexpected import Library

# Opening a connection in another data centre takes tenths of a second. Redis is an extra here, so nobody waits long.
CONNECT_SECONDS: Final = 2.0
# One slow answer is forgiven soon. A Redis that is away for long costs a connection every four seconds.
FIRST_PROBE_SECONDS: Final = 0.5
LAST_PROBE_SECONDS: Final = 4.0
# Who fails again so soon is left alone for longer each time: a Redis at its limit would be asked in vain all the time.
STEADY_SECONDS: Final = 10.0
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

    ``files`` are the certificates for a ``rediss://`` URL. Who asks while all ``connections`` are in use waits for one.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        **tls_options(url, files),
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=timeout_seconds,
        max_connections=connections,
        # How long an answer may take, this wait included, is for the caller to say.
        timeout=None,
    )
    return Redis.from_pool(pool)


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
        self._news = RedisNews(REDIS, address_of(self._client), without=without, deadline_seconds=deadline_seconds)
        self._answering = asyncio.Event()
        self._probing: asyncio.Task[None] | None = None
        self._delays = Delays((0.0,))
        self._answered_at = float("-inf")
        self._counted_until = 0.0

    @property
    def available(self) -> bool:
        """Whether it answered fast the last time it was asked."""
        return self._answering.is_set()

    async def open(self, wait_seconds: float = 1.0) -> None:
        """Connect in the background; return when it answers, or after ``wait_seconds``."""
        if self._probing is None:
            self._leave_alone(0.0)
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
                    result = task.result()
                    self._news.used()
                    return result
                await asyncio.sleep(0)
            error: Exception = Slow()
        except Exception as raised:  # noqa: BLE001 - whatever it is, Redis is not of use
            error = raised
        finally:
            task.cancel()
        self._fail(error)
        raise Outage(f"Redis does not answer ({type(error).__name__})")

    def _fail(self, error: BaseException) -> None:
        if self.available:
            self._news.failed(error)
            self._leave_alone()

    def _leave_alone(self, *probes_after_seconds: float) -> None:
        self._answering.clear()
        self._counted_until = time.monotonic()
        if self._counted_until - self._answered_at > STEADY_SECONDS:
            self._delays = Delays((*probes_after_seconds, *doubling(FIRST_PROBE_SECONDS, LAST_PROBE_SECONDS)))
        self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Wait until Redis takes a write within the deadline. One that is full or a replica answers all the same."""
        while True:
            await self._sleep(self._delays.next_seconds())
            try:
                # What a connection that failed still has to say belongs to calls that are over.
                await self._client.connection_pool.disconnect(inuse_connections=True)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._client.ping()
                await self._write()
            except Exception as error:  # noqa: BLE001 - whatever it is, Redis is not of use
                self._news.failed(error)
            else:
                self._count()
                self._news.answered()
                self._answered_at = time.monotonic()
                self._answering.set()
                return

    async def _write(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._client.set(keys.PROBE, 1, px=keys.PROBE_MS)
        except TimeoutError:
            raise Slow from None

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
