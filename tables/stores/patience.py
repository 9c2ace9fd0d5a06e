"""Waiting for a table store that does not answer: bounded delays, one log line at each end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from streams import metrics
from streams.backoff import Delays, doubling, scaled
from streams.errors import Outage

log = logging.getLogger(__name__)

# A flush waits meanwhile and nothing is committed. So a store that restarts is found at once, and one that is away for
# long is asked every five seconds.
FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 5.0
SINK: Final = "table_store"
metrics.start_at_zero(metrics.sink_retries, [SINK])

T = TypeVar("T")


async def until_answered(work: Callable[[], Awaitable[T]], *, wanted: Callable[[], bool] = lambda: True) -> T:
    """Do ``work`` until it does not raise :class:`Outage`; return its result.

    Raises the last :class:`Outage` once the result is no longer ``wanted``; every other error at once.
    """
    # Jitter, because every worker of the group waits for the same server.
    delays = Delays(doubling(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS), jitter=scaled(0.5, 1.0))
    loop = asyncio.get_running_loop()
    away_since: float | None = None
    while True:
        try:
            result = await work()
        except Outage as error:
            metrics.sink_retries.labels(SINK).inc()
            if away_since is None:
                away_since = loop.time()
                log.warning("%s; trying again until it does, nothing is acknowledged meanwhile", error)
            if not wanted():
                raise
            await asyncio.sleep(delays.next_seconds())
        else:
            if away_since is not None:
                log.info("the table store answers again after %.1f s", loop.time() - away_since)
            return result
