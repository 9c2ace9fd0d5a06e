"""How long the machine kept the loop from its work: what a test that measures times must not blame on the program."""

import asyncio
import time
from types import TracebackType
from typing import Self

TICK_SECONDS = 0.001


class Stalls:
    """Measures beside a test; ``longest_seconds`` is the longest time by which the loop came late."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - began - TICK_SECONDS)
