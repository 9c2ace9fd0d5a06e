"""Handles what has gathered meanwhile as one: nothing waits for company, and what comes at once costs one round."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """Gives items to ``handle`` in their order: the first at once, and then all that came while it was at work.

    ``most`` bounds how many are handled together, and how many wait. ``handle`` must not raise.
    """

    def __init__(self, handle: Callable[[Sequence[T]], Awaitable[None]], most: int) -> None:
        self._handle = handle
        self._room = asyncio.Semaphore(most)
        self._waiting: list[T] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, item: T) -> None:
        """Take an item; wait while as many are waited for as may be."""
        await self._room.acquire()
        self._waiting.append(item)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                items, self._waiting = self._waiting, []
                await self._handle(items)
                for _ in items:
                    self._room.release()
        finally:
            self._task = None
