"""Faust's Kafka transport with additions: bundles, a flush before each commit, and the broker's wait as a setting."""

from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.bundles import bundled
from streams.topics import TRADES


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Asks the broker to wait for new records no longer than ``FETCH_MAX_WAIT_MS``; Faust says 1.5 s.

    Kafka answers as soon as there is a byte, but the embedded broker lets the whole wait pass.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.settings.fetch_max_wait_ms
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Bundles the messages of ``trades``, and commits offsets only after ``app.before_commit()`` has returned.

    The offsets to commit have been chosen by then, and state flushed after that choice contains all of them.
    """

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        records = await super()._getmany(active_partitions, timeout)
        if records:
            for tp in records:
                if tp.topic == TRADES:
                    records[tp] = list(bundled(records[tp]))
        return records

    async def _commit_offsets(self, offsets: dict[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        await self.app.before_commit()
        return bool(await super()._commit_offsets(offsets, start_new_transaction))


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer: Any = Consumer
