"""A broker and a table store in memory, for tests of what writes to them: they can stall and fail."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from streams.kafka.outbound import Delivered, Record
from tables.market.chunks import markets_of
from tables.stores.base import Overtaken

Fault = Callable[[Record], BaseException | None]


def no_fault(_: Record) -> None:
    """Nothing goes wrong."""


class MemoryBroker:
    """``send`` is what :class:`~streams.kafka.outbound.Outbound` wants. Records count once they are acknowledged.

    ``on_send`` and ``on_ack`` may return the error that sending, or acknowledging, a record ends in. While
    :meth:`hold` lasts, records are taken and not acknowledged.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.on_send: Fault = no_fault
        self.on_ack: Fault = no_fault
        self.waiting: list[tuple[Record, asyncio.Future[Delivered]]] = []
        self._held = False
        self._ends: dict[tuple[str, int], int] = defaultdict(int)

    async def send(self, record: Record) -> Awaitable[Any]:
        """Take a record; the result is done when it is acknowledged."""
        await asyncio.sleep(0)
        if error := self.on_send(record):
            raise error
        place: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self.waiting.append((record, place))
        if not self._held:
            asyncio.get_running_loop().call_soon(self._acknowledge)
        return place

    def hold(self) -> None:
        """Acknowledge nothing from now on."""
        self._held = True

    def release(self) -> None:
        """Acknowledge what waits, and everything from now on."""
        self._held = False
        self._acknowledge()

    def _acknowledge(self) -> None:
        waiting, self.waiting = self.waiting, []
        for record, place in waiting:
            if place.done():
                continue
            if error := self.on_ack(record):
                place.set_exception(error)
                continue
            self.records.append(record)
            where = (record.topic, record.partition or 0)
            place.set_result(Delivered(record.partition or 0, self._ends[where]))
            self._ends[where] += 1

    def of(self, topic: str) -> list[Record]:
        """Return the acknowledged records of a topic, in order."""
        return [record for record in self.records if record.topic == topic]


class MemoryState:
    """A table store as :class:`~tables.stores.base.StateStore` says; ``on_save`` may raise.

    While :meth:`hold` lasts, loads wait; ``held`` counts them.
    """

    def __init__(self) -> None:
        self.items: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.offsets: dict[int, int] = {}
        self.loads = 0
        self.held = 0
        self._answers = asyncio.Event()
        self._answers.set()
        self.on_save: Callable[[], None] = lambda: None
        self._overtaken: dict[int, Overtaken] = defaultdict(Overtaken)

    def overtaken(self, partition: int) -> Overtaken:
        """Return what a restore found; a test adds to it."""
        return self._overtaken[partition]

    def hold(self) -> None:
        """Answer no load from now on."""
        self._answers.clear()

    def release(self) -> None:
        """Answer those that wait, and all from now on."""
        self._answers.set()

    async def load(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a market."""
        self.loads += 1
        await asyncio.sleep(0)
        self.held += 1
        await self._answers.wait()
        self.held -= 1
        return [item for item in self.items[partition].items() if item[0].startswith(prefix)]

    async def peek(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return nothing."""
        return []

    async def save(self, partition: int, items: Any) -> None:
        """Write items."""
        await asyncio.sleep(0)
        self.on_save()
        self.items[partition].update(items)

    async def reach(self, partition: int, changelog_offset: int) -> None:
        """Take note of how much of the changelog is here."""
        await asyncio.sleep(0)
        self.offsets[partition] = changelog_offset

    async def markets(self, partition: int) -> set[tuple[str, str]]:
        """Return every market."""
        return markets_of(self.items[partition])
