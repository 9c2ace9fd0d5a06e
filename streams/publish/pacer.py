"""Holds a fast producer back while the consumer group is too far behind, counted in bytes per partition."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Final, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.errors import Outage
from streams.kafka.admin import KAFKA
from streams.kafka.security import connection
from streams.settings import Settings
from streams.topics import TRADES

log = logging.getLogger(__name__)

# The embedded broker drops what exceeds 5 MB per partition. Requests of 256 kB may be under way on top of this.
MAX_LAG_BYTES: Final = 3_000_000
# The lag falls with each commit, once a second. The producer goes on a twentieth of that later.
POLL_SECONDS: Final = 0.05
# A worker that restarts is back sooner.
STALL_SECONDS: Final = 30.0


class Pacer(Protocol):
    """Holds the producer back before it publishes to a partition."""

    async def wait(self, partition: int, /) -> None:
        """Return when more may be published to the partition."""
        ...

    def published(self, partition: int, next_offset: int, size_bytes: int) -> None:
        """Count ``size_bytes`` that the broker has acknowledged; the partition now ends before ``next_offset``."""
        ...

    async def close(self) -> None: ...


class LagPacer:
    """Holds back while more than ``max_lag_bytes`` of a partition are published and not yet committed by ``group``.

    It knows what it was told by :meth:`published`: one pacer sees one producer's bytes.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        *,
        topic: str = TRADES,
        max_lag_bytes: int = MAX_LAG_BYTES,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topic = topic
        self._max_lag_bytes = max_lag_bytes
        self._poll_seconds = poll_seconds
        self._unread: dict[int, deque[tuple[int, int]]] = {}
        self._lag_bytes: dict[int, int] = {}
        self._admin: AIOKafkaAdminClient | None = None
        self._polling = asyncio.Lock()
        self._polled = 0.0

    def lag_bytes(self, partition: int) -> int:
        """Return how many bytes of the partition are known to be unread."""
        return self._lag_bytes.get(partition, 0)

    def published(self, partition: int, next_offset: int, size_bytes: int) -> None:
        self._unread.setdefault(partition, deque()).append((next_offset, size_bytes))
        self._lag_bytes[partition] = self.lag_bytes(partition) + size_bytes

    async def wait(self, partition: int, /) -> None:
        """Return when the partition's lag is below the limit. Waits through outages of the broker."""
        began = time.monotonic()
        said = False
        while self.lag_bytes(partition) >= self._max_lag_bytes:
            await self._poll()
            if self.lag_bytes(partition) < self._max_lag_bytes:
                return
            if not said and time.monotonic() - began > STALL_SECONDS:
                said = True
                log.warning(
                    "waiting for the worker: %d bytes of partition %d are not processed yet",
                    self.lag_bytes(partition),
                    partition,
                )
            await asyncio.sleep(self._poll_seconds)

    async def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            with contextlib.suppress(Outage), KAFKA.asked("the broker"):
                await admin.close()

    async def _poll(self) -> None:
        """Ask for the group's offsets, once for all partitions that wait."""
        asked = time.monotonic()
        async with self._polling:
            if self._polled >= asked:
                return
            try:
                if self._admin is None:
                    self._admin = AIOKafkaAdminClient(**connection(self._settings))
                    await self._admin.start()
                partitions = [TopicPartition(self._topic, partition) for partition in self._unread]
                offsets = await self._admin.list_consumer_group_offsets(self._group, partitions=partitions)
            except Exception as error:  # noqa: BLE001 - whatever it is: it is asked again, and nothing is lost meanwhile
                log.debug("cannot read the offsets of group %s: %s", self._group, KAFKA.notice(error))
                await self.close()
                return
            self._polled = time.monotonic()
        for place, committed in offsets.items():
            self._read(place.partition, committed.offset)

    def _read(self, partition: int, committed: int) -> None:
        unread = self._unread[partition]
        while unread and unread[0][0] <= committed:
            self._lag_bytes[partition] -= unread.popleft()[1]
