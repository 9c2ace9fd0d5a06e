"""Waiting for a sink that does not answer: bounded delays, one log line at each end of the outage."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streams import metrics
from streams.errors import Outage

log = logging.getLogger(__name__)

T = TypeVar("T")


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
    delay = first_delay_seconds
    attempts = 0
    began = asyncio.get_running_loop().time()
    while True:
        try:
            result = await action()
        except Outage as error:
            attempts += 1
            metrics.sink_retries.labels(sink).inc()
            if attempts == 1:
                log.warning("%s does not answer, trying again until it does: %s", sink, error)
            if await stopped_within(stop, jittered(delay)):
                raise
            delay = min(delay * 2, max_delay_seconds)
        else:
            if attempts:
                elapsed = asyncio.get_running_loop().time() - began
                log.info("%s answers again after %.1f s and %d attempts", sink, elapsed, attempts)
            return result


def jittered(delay_seconds: float) -> float:
    """Return between half and all of a delay: workers that lost the same server must not come back in step."""
    return delay_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no cryptography


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
