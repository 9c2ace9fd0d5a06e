"""How long the machine kept the loop from its work: what a test that measures times must not blame on the program."""

import asyncio
import time
from types import TracebackType
from typing import Self

TICK_SECONDS = 0.001
# Every timer is late by a little; added up, that would be much of what a test measures.
LEAST_SECONDS = 0.002


class Stalls:
    """Measures beside a test. Ask it when it has ended: only then has it seen the last stall."""

    def __init__(self) -> None:
        self._stalls: list[tuple[float, float]] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(2 * TICK_SECONDS)
        self._task.cancel()

    def between(self, began: float, ended: float) -> float:
        """Return for how long the loop was kept between two times of :func:`time.perf_counter`."""
        return sum(max(0.0, min(end, ended) - max(begin, began)) for begin, end in self._stalls)

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            now = time.perf_counter()
            if now - due > LEAST_SECONDS:
                self._stalls.append((due, now))
