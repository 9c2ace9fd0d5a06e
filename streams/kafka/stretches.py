"""Reads a stretch of one partition of a topic."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka.admin import ANSWER_MS, KAFKA
from streams.kafka.security import connection
from streams.settings import Settings

# A fetch that the broker answers at once. Where compaction, or a transaction's mark, leaves nothing, none comes.
WAIT_MS = 500


async def read_stretch(settings: Settings, topic: str, partition: int, start: int, end: int) -> dict[bytes, bytes]:
    """Return the last value of each key from offset ``start`` up to and not including ``end``.

    Raises :class:`streams.errors.Outage` while the broker does not answer.
    """
    place = TopicPartition(topic, partition)
    found: dict[bytes, bytes] = {}
    with KAFKA.asked("the broker"):
        consumer = AIOKafkaConsumer(**connection(settings), request_timeout_ms=ANSWER_MS, enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign([place])
            consumer.seek(place, start)
            while await consumer.position(place) < end:
                records = (await consumer.getmany(place, timeout_ms=WAIT_MS)).get(place, [])
                if not records:
                    break
                for record in records:
                    if record.offset < end and record.key is not None and record.value is not None:
                        found[record.key] = record.value
        finally:
            await consumer.stop()
    return found
