"""Waiting for a sink that does not answer: bounded delays, one log line at each end of the outage."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from streams import metrics
from streams.backoff import Delays, doubling, scaled
from streams.errors import Outage

log = logging.getLogger(__name__)

T = TypeVar("T")

JITTER: Final = scaled(0.5, 1.0)
"""Half to all of a delay: workers that lost the same server must not come back in step."""


async def retry_outage(
    action: Callable[[], Awaitable[T]],
    *,
    sink: str,
    stop: asyncio.Event | None = None,
    first_delay_seconds: float = 0.1,
    max_delay_seconds: float = 5.0,
) -> T:
    """Run ``action`` until the sink answers, and return its result.

    Delays double from the first to the greatest, with jitter; each is counted in ``liqmon_sink_retries``. The log says
    once when the outage begins and once when it ends. Raises the last :class:`Outage` when ``stop`` is set while
    waiting; every other error passes through at once.
    """
    delays = Delays(doubling(first_delay_seconds, max_delay_seconds), jitter=JITTER)
    began = asyncio.get_running_loop().time()
    while True:
        try:
            result = await action()
        except Outage as error:
            metrics.sink_retries.labels(sink).inc()
            if not delays.taken:
                log.warning("%s does not answer, trying again until it does: %s", sink, error)
            if await stopped_within(stop, delays.next_seconds()):
                raise
        else:
            if delays.taken:
                elapsed = asyncio.get_running_loop().time() - began
                log.info("%s answers again after %.1f s and %d attempts", sink, elapsed, delays.taken)
            return result


async def stopped_within(stop: asyncio.Event | None, seconds: float) -> bool:
    """Wait so many seconds, or until ``stop`` is set. Return whether it is."""
    if stop is None:
        await asyncio.sleep(seconds)
        return False
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return stop.is_set()
    return True
