"""Waiting for a condition with a deadline, where a test cannot be told of the event itself."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return when the condition holds. Raises :class:`TimeoutError` after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions are about state that signals nothing
            await asyncio.sleep(0.005)
