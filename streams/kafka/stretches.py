"""Reads a stretch of one partition of a topic."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka.admin import ANSWER_MS, KAFKA
from streams.kafka.security import connection
from streams.settings import Settings

# How long the client waits for a fetch before the position is looked at again.
WAIT_MS = 500


async def read_stretch(settings: Settings, topic: str, partition: int, start: int, end: int) -> dict[bytes, bytes]:
    """Return the last value of each key from offset ``start`` up to and not including ``end``.

    Raises :class:`streams.errors.Outage` while the broker does not answer, and where what it gives ends before ``end``.
    What was not read must not pass for a stretch that holds nothing.
    """
    place = TopicPartition(topic, partition)
    found: dict[bytes, bytes] = {}
    with KAFKA.asked("the broker"):
        consumer = AIOKafkaConsumer(
            **connection(settings),
            request_timeout_ms=ANSWER_MS,
            enable_auto_commit=False,
            # Where the log begins later by now, what is left of the stretch counts.
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            consumer.assign([place])
            consumer.seek(place, start)
            reached = start
            while reached < end:
                async with asyncio.timeout(ANSWER_MS / 1000):
                    # A batch that compaction has emptied brings no record, and the position goes on behind it.
                    while (position := await consumer.position(place)) == reached:
                        for record in (await consumer.getmany(place, timeout_ms=WAIT_MS)).get(place, []):
                            if record.offset < end and record.key is not None and record.value is not None:
                                found[record.key] = record.value
                reached = position
        finally:
            await consumer.stop()
    return found
