"""The producer's Kafka client: how it is set, opened, and given up."""

import asyncio
import contextlib
from typing import Final

from aiokafka import AIOKafkaProducer

from streams.errors import Outage
from streams.kafka.admin import KAFKA, ensure_topics
from streams.kafka.security import connection
from streams.settings import Settings

# Ten frames of 500 trades; large enough that the round trip does not limit a replay, small beside Kafka's 1 MB.
BATCH_BYTES: Final = 256 * 1024
# zstd leaves 21 of a trade's 53 bytes and takes 0.5 us; lz4 leaves 25 and takes 0.7 us (cramjam, frames of 500).
COMPRESSION: Final = "zstd"
# Longer than Kafka takes to elect a leader, a few seconds. A batch that has no answer by then fails, and the client is
# replaced. A producer that was told to stop tries for 30 s, which leaves time for two more.
REQUEST_TIMEOUT_MS: Final = 10_000
# Connecting asks for the cluster, lists topics and creates those that are missing: three requests.
START_SECONDS: Final = 30.0
# Where the broker answers, closing takes milliseconds. Where it does not, nothing is lost by cutting the client off:
# the next client sends what was not acknowledged.
STOP_SECONDS: Final = 2.0


async def connect(settings: Settings) -> AIOKafkaProducer:
    """Return a client that is connected, and whose topics exist.

    Raises :class:`Outage` while the broker is not there, and what :func:`streams.kafka.admin.ensure_topics` raises.
    """
    client = AIOKafkaProducer(
        **connection(settings),
        client_id="liqmon-producer",
        enable_idempotence=True,
        acks="all",
        compression_type=COMPRESSION,
        max_batch_size=BATCH_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.start()
            await ensure_topics(settings)
    except BaseException as error:
        await discard(client)
        if isinstance(error, KAFKA.expected):
            raise Outage(type(error).__name__) from None
        raise
    return client


async def discard(client: AIOKafkaProducer) -> None:
    """Close a client. One whose broker is away would try to flush for ever: it is cut off."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await client.stop()
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is not used again
        KAFKA.notice(error)
        sender = client._sender.sender_task  # the client has no public way to give up
        if sender is not None:
            sender.cancel()
        with contextlib.suppress(Outage), KAFKA.asked("the broker"):
            await client.client.close()
        if sender is not None:
            await asyncio.wait([sender], timeout=STOP_SECONDS)
