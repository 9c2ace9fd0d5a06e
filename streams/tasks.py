"""Waiting for one of several things, and ending what runs in the background."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

# A task that only cleans up ends within this. One that missed its cancellation would go on for ever.
AGAIN_SECONDS: Final = 1.0


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough for a loop that goes on after errors. A library may take a cancellation for a time that ran out:
    ``asyncio.wait_for`` of Python 3.11 does where both come together.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def first_of(*waited: Awaitable[object], within_seconds: float | None = None) -> None:
    """Return when the first of these is over, or the time; the others are cancelled."""
    waits = [asyncio.ensure_future(one) for one in waited]
    try:
        await asyncio.wait(waits, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
