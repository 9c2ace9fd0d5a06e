"""One Kafka client of a producer, and what became of a batch that it was given."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.kafka.clients import discard


class Link:
    """A connected client. ``lost`` completes when it is replaced. Batches still under way then have no outcome."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self.client = client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Give the client up."""
        await discard(self.client)
        self.lost.set_result(None)


async def outcome(link: Link, batch: Any, topic: str, partition: int) -> Any:
    """Return where the broker put a batch, None where the client was replaced meanwhile. Raises the client's errors.

    A client that is replaced never completes what it had. It may not even have taken the batch, since it first asks the
    broker for the topic.
    """

    async def acknowledged() -> Any:
        # Shielded: the client does not expect that anybody cancels its futures.
        return await asyncio.shield(await link.client.send_batch(batch, topic, partition=partition))

    sending = asyncio.create_task(acknowledged())
    try:
        await asyncio.wait((sending, link.lost), return_when=asyncio.FIRST_COMPLETED)
        return sending.result() if sending.done() else None
    finally:
        sending.cancel()
