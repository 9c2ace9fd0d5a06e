"""Faust's thread of the Kafka client, with what the worker's consumer asks of it."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.columns import in_columns
from streams.worker.application import Application


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The client in its thread, with what the consumer below asks of it."""

    app: Application

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust says 1.5 s. Kafka answers as soon as there is a byte, the embedded broker lets the whole wait pass.
        consumer._fetch_max_wait_ms = self.app.settings.fetch_max_wait_ms
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        with in_columns():
            return await super()._fetch_records(*args, **kwargs)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Partitions may have moved while state was flushed; aiokafka raises where none of them is left.
        held = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        return bool(held and await super()._commit(held))

    async def log_ends(self, tps: Collection[TP], timeout_seconds: float) -> Mapping[TP, int]:
        """Return the end offsets of partitions. Raises :class:`TimeoutError`, and what the client raises.

        The question ends in the client's thread too. Calls share two lanes there, and commits and fetches must not
        wait for an answer that nobody wants any more.
        """
        ends: Mapping[TP, int] = await self.call_thread(self._log_ends, tps, timeout_seconds)
        return ends

    async def _log_ends(self, tps: Collection[TP], timeout_seconds: float) -> Mapping[TP, int]:
        async with asyncio.timeout(timeout_seconds):
            return {TP(*tp): end for tp, end in (await self._ensure_consumer().end_offsets(tps)).items()}

    async def rewind(self, tp: TP, offset: int) -> None:
        """Put the position of a partition back; nothing happens where that has moved to another worker."""
        await self.call_thread(self._rewind, driver.ensure_aiokafka_TP(tp), offset)

    async def _rewind(self, tp: TopicPartition, offset: int) -> None:
        with contextlib.suppress(IllegalStateError):
            self._ensure_consumer().seek(tp, offset)
