"""The step between collecting trades and framing them: it leaves out what other producers have published."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from streams import metrics
from streams.publish.coalescer import Group
from streams.publish.published_ids import MAX_FRAMES_PER_CALL, MAX_TRADES_PER_CALL, PublishedIds


class Deduplicator:
    """Holds groups back for as long as Redis takes to say what others have published, then passes them on in order.

    ``waiting`` counts the trades held; ``changed`` is called when it falls. Without ``published_ids`` nothing is held.
    """

    def __init__(
        self,
        published_ids: PublishedIds | None,
        pass_on: Callable[[Sequence[Group]], None],
        changed: Callable[[], None],
    ) -> None:
        self.waiting = 0
        self._published_ids = published_ids
        self._pass_on = pass_on
        self._changed = changed
        self._groups: deque[tuple[float, Group]] = deque()
        self._is_work = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def put(self, groups: Sequence[Group]) -> None:
        if not self._groups and (self._published_ids is None or not self._published_ids.available):
            self._pass_on(groups)
        elif groups:
            now = time.monotonic()
            self._groups.extend((now, group) for group in groups)
            self.waiting += sum(len(group.trades) for group in groups)
            self._is_empty.clear()
            self._is_work.set()

    async def open(self) -> None:
        """Connect to Redis; return soon where it does not answer."""
        if self._published_ids is not None:
            await self._published_ids.open()

    async def close(self) -> None:
        """Mark in Redis what is acknowledged, then disconnect."""
        if self._published_ids is not None:
            await self._published_ids.close()

    async def drain(self) -> None:
        """Return when nothing is held."""
        await self._is_empty.wait()

    async def run(self) -> None:
        """Ask Redis about the groups held and pass on what is left of them, until cancelled."""
        while self._published_ids is not None:
            await self._is_work.wait()
            # They stay in the queue until they are passed on, so that no later group overtakes them.
            asked: list[Group] = []
            trades = 0
            for _, group in self._groups:
                if len(asked) == MAX_FRAMES_PER_CALL or trades > MAX_TRADES_PER_CALL:
                    break
                asked.append(group)
                trades += len(group.trades)
            left = await self._published_ids.unpublished(asked)
            now = time.monotonic()
            for _ in asked:
                since, _ = self._groups.popleft()
                metrics.screen_seconds.observe(now - since)
            self.waiting -= trades
            self._pass_on(left)
            if not self._groups:
                self._is_work.clear()
                self._is_empty.set()
            self._changed()
