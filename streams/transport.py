"""Faust's Kafka transport with one addition: state is made durable before offsets are committed."""

from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Commits offsets only after ``app.before_commit()`` has returned.

    The offsets to commit have been chosen by then, and state flushed after that choice contains all of them.
    """

    async def _commit_offsets(self, offsets: dict[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        await self.app.before_commit()
        return bool(await super()._commit_offsets(offsets, start_new_transaction))


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer: Any = Consumer
