"""Notices that the broker was replaced by an empty one while the worker runs: its state belongs to another log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from streams.errors import Fatal, Outage
from streams.kafka import admin
from streams.settings import Settings
from streams.tasks import cancelled
from streams.unexpected import say_once

log = logging.getLogger(__name__)

# docs/faults.md promises that a worker notices a replaced broker within 10 s. A question may take 5 s of them.
LOOK_SECONDS: Final = 5.0


class ReplacedBroker(Fatal):
    """The broker is not the one that the worker's state was made with. Starting again carries the state over."""


class BrokerWatch:
    """Looks every few seconds at the cluster's name and at the end of the changelog.

    ``reached`` returns, by partition, the highest offset of the changelog that the broker has acknowledged: one that
    ends before has lost it, whatever its name. ``on_replaced`` is called once. ``on_look`` is given what ``reached``
    returned, and where the changelog's partitions ended a moment later. It may raise :class:`Outage`. While it takes
    long it is not called again.
    """

    def __init__(
        self,
        settings: Settings,
        changelog: str,
        reached: Callable[[], Mapping[int, int]],
        on_replaced: Callable[[ReplacedBroker], object],
        on_look: Callable[[Mapping[int, int], Mapping[int, int]], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._changelog = changelog
        self._reached = reached
        self._on_replaced = on_replaced
        self._on_look = on_look
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch in the background. The first broker that answers is the one that must stay."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        await cancelled(*[task for task in (self._task, self._looking) if task is not None])

    async def _watch(self) -> None:
        cluster = ""
        while True:
            try:
                reached = dict(self._reached())
                found, ends = await admin.known_ends(self._settings, self._changelog)
            except Outage:
                pass  # a broker that is away says nothing about what it will be
            except Exception as error:  # noqa: BLE001 - a watch that ended would be missed by nobody
                say_once(log, "looking for a replaced broker", error)
            else:
                cluster = cluster or found
                lost = [partition for partition, offset in reached.items() if ends.get(partition, 0) <= offset]
                if found != cluster or lost:
                    what = f"partitions {lost} of {self._changelog} end before what was written" if lost else found
                    self._on_replaced(
                        ReplacedBroker(f"the broker was replaced ({what}); start again to carry the state over to it")
                    )
                    return
                # It may wait for whatever a flush waits for, and this watch must not.
                if self._looking is None or self._looking.done():
                    self._looking = asyncio.create_task(self._looked(reached, ends))
            await asyncio.sleep(LOOK_SECONDS)

    async def _looked(self, reached: Mapping[int, int], ends: Mapping[int, int]) -> None:
        try:
            await self._on_look(reached, ends)
        except Outage:
            pass  # looked at again, in a few seconds
        except Exception as error:  # noqa: BLE001 - a watch that ended would be missed by nobody
            say_once(log, "looking at the end of the changelog", error)
