"""The broker, seen from outside of Faust: waiting for it and creating topics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from streams.backoff import Delays
from streams.errors import Fatal, Outage
from streams.kafka.record_times import CLOCK_CONFIG, STAMPED, stamp_by_broker
from streams.kafka.refusal import refusal
from streams.kafka.security import connection
from streams.kafka.topic_config import bring_up_to_date
from streams.settings import Settings
from streams.topics import ALERTS, CLOCK, DEAD_LETTERS, TRADES
from streams.unexpected import Library
from streams.words import counted

log = logging.getLogger(__name__)

T = TypeVar("T")

KAFKA: Final = Library("the Kafka client", KafkaError, OSError, TimeoutError)

# A broker that starts is used within a second; one that is away for long costs an attempt in five seconds.
RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)

# A question takes milliseconds. BrokerWatch pauses for 5 s, so an answer as late as this still comes within the 10 s
# that docs/faults.md promises.
ANSWER_MS: Final = 5000

MAX_RECORD_BYTES: Final = 8 * 1024**2
"""Most that a record of the changelog may hold: 32 seconds of one market with 14 000 futures trades a second.

Kafka's own limit of 1 MB would be reached by 1800 trades a second, and a record that the broker refuses stops the
worker.
"""

CHANGELOG_CONFIG: Final = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(MAX_RECORD_BYTES + 64 * 1024),
    # A worker that was frozen while its partition moved flushes old values behind its successor's. The successor, or
    # who restores next, writes its own again within seconds (decision 0037). Compaction leaves both for an hour.
    "min.compaction.lag.ms": str(3600 * 1000),
    # A segment is compacted once it is closed: small ones, closed every ten minutes.
    "segment.bytes": str(64 * 1024**2),
    "segment.ms": str(600 * 1000),
    # By default half of a log may wait to be compacted, and a restore reads what waits.
    "min.cleanable.dirty.ratio": "0.1",
    "compression.type": "zstd",
}
FORMER_CHANGELOG_CONFIG: Final = {"min.compaction.lag.ms": str(48 * 3600 * 1000)}
"""What releases before 0.2 set otherwise: a changelog that still has it gets the value above."""


async def wait_for_broker(settings: Settings) -> None:
    """Return once a broker answers; say once what is awaited. Raises :class:`Fatal` where it refuses this client."""
    delays = Delays(RETRY_SECONDS)
    while True:
        # Asked first: the client would log what it is refused for, and then say only that it found nobody.
        if (refused := await refusal(settings)) is not None:
            raise refused
        client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=ANSWER_MS)
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            if not delays.taken:
                where, protocol = settings.kafka_bootstrap_servers, settings.kafka_security_protocol
                log.warning("waiting for Kafka at %s, to be used by %s (%s)", where, protocol, error)
        else:
            return
        finally:
            await client.close()
        await asyncio.sleep(delays.next_seconds())


def verdict(error: BaseException) -> Outage | Fatal | None:
    """Return the error that an operator should see for one of the client's; None where the broker is not at fault."""
    what = str(error) or type(error).__name__
    if isinstance(error, OSError | KafkaTimeoutError) or (isinstance(error, KafkaError) and error.retriable):
        return Outage(f"the broker did not answer ({what}); start again, to go on from the last commit")
    if isinstance(error, BrokerResponseError):
        return Fatal(f"the broker refuses: {what}")
    return None


async def until_served(settings: Settings, work: Callable[[], Awaitable[T]]) -> T:
    """Run work that needs the broker, again from its start whenever the broker goes away; return its result.

    Raises :class:`Fatal` where waiting does not help, such as missing rights, and what else the work raises.
    """
    delays, said = Delays(RETRY_SECONDS), ""
    while True:
        await wait_for_broker(settings)
        try:
            return await work()
        except (KafkaError, OSError) as error:
            found = verdict(error)
            if found is None:
                raise
            if isinstance(found, Fatal):
                raise found from None
            what = type(error).__name__
            if what != said:
                log.warning("Kafka at %s went away again (%s)", settings.kafka_bootstrap_servers, error or what)
            said = what
        await asyncio.sleep(delays.next_seconds())


def is_embedded(cluster: str) -> bool:
    """Whether a cluster of this name is the embedded broker, which keeps nothing on disk: a mock of librdkafka's."""
    return cluster.startswith("mockCluster")


async def cluster_id(settings: Settings) -> str:
    """Return the id of the broker's cluster, which changes when its data is wiped. Raises what the client raises."""
    client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=ANSWER_MS)
    try:
        await client.start()
        return str((await client.describe_cluster())["cluster_id"])
    finally:
        await client.close()


async def known_ends(settings: Settings, topic: str) -> tuple[str, dict[int, int]]:
    """Return the name of the broker's cluster, and the end offsets of a topic; none for one that does not exist.

    Raises :class:`Outage` while the broker does not answer.
    """
    with KAFKA.asked("the broker"):
        client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=ANSWER_MS)
        try:
            await client.start()
            cluster = str((await client.describe_cluster())["cluster_id"])
            # The client would wait for a topic that is missing, until it times out.
            return cluster, await end_offsets(settings, topic) if topic in await client.list_topics() else {}
        finally:
            await client.close()


async def cluster_and_ends(settings: Settings, topic: str) -> tuple[str, dict[int, int]]:
    """Return the name of the broker's cluster, and the end offset of each partition of a topic.

    Raises :class:`Outage` while the broker does not answer.
    """
    with KAFKA.asked("the broker"):
        return await cluster_id(settings), await end_offsets(settings, topic)


async def ensure_topics(settings: Settings, changelogs: Mapping[str, Mapping[str, str]] | None = None) -> bool | None:
    """Create the topics that are missing, and see that each has the partitions it must have.

    Return whether the broker stamps the records of ``trades``, None where it does not say.

    With ``CREATE_TOPICS=false`` they are only asked for, which makes them appear on the embedded broker. Raises
    :class:`Fatal` if a topic is missing, or has another number of partitions than the settings say. Producers and
    workers would then not agree on where a market is.
    """
    wanted: dict[str, Mapping[str, str]] = {TRADES: STAMPED, ALERTS: {}, DEAD_LETTERS: {}, **(changelogs or {})}
    if settings.create_topics:
        await _create(settings, {**wanted, CLOCK: CLOCK_CONFIG})
    producer = AIOKafkaProducer(**connection(settings))
    try:
        await producer.start()
        for name in wanted:
            found = len(await producer.partitions_for(name))
            if found != settings.topic_partitions:
                raise Fatal(
                    f"topic {name} has {counted(found, 'partition')}, "
                    f"TOPIC_PARTITIONS says {settings.topic_partitions}: they must be equal"
                )
    except UnknownTopicOrPartitionError:
        # The client says this too where the broker does not answer for long.
        if name in await _topics(settings):
            raise
        raise Fatal(f"the broker has no topic {name}; create it, or set CREATE_TOPICS=true") from None
    finally:
        await producer.stop()
    return await _stamped(settings)


async def _stamped(settings: Settings) -> bool | None:
    client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=ANSWER_MS)
    try:
        await client.start()
        return await stamp_by_broker(settings, client)
    finally:
        await client.close()


async def _topics(settings: Settings) -> set[str]:
    client = AIOKafkaAdminClient(**connection(settings))
    try:
        await client.start()
        return set(await client.list_topics())
    finally:
        await client.close()


async def _create(settings: Settings, wanted: Mapping[str, Mapping[str, str]]) -> None:
    client = AIOKafkaAdminClient(**connection(settings))
    try:
        await client.start()
        present = set(await client.list_topics())
        for name, config in wanted.items():
            if name in present:
                if config.get("cleanup.policy") == "compact":
                    await bring_up_to_date(client, name, config, FORMER_CHANGELOG_CONFIG)
                continue
            partitions = 1 if name == CLOCK else settings.topic_partitions
            topic = NewTopic(name, partitions, settings.topic_replication_factor, topic_configs=dict(config))
            with suppress(TopicAlreadyExistsError):
                await client.create_topics([topic])
    finally:
        await client.close()


async def end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """Return the end offset of each partition of a topic."""
    consumer = AIOKafkaConsumer(**connection(settings))
    try:
        await consumer.start()
        partitions = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}
    finally:
        await consumer.stop()


async def waiting(settings: Settings, topic: str, committed: Mapping[int, int | None]) -> int:
    """Return how many messages of a topic lie behind what was committed of each partition, counted from the first kept.

    Raises :class:`Outage` while the broker does not answer.
    """
    with KAFKA.asked("the broker"):
        async with asyncio.timeout(2 * ANSWER_MS / 1000):
            consumer = AIOKafkaConsumer(**connection(settings), request_timeout_ms=ANSWER_MS)
            try:
                await consumer.start()
                partitions = [TopicPartition(topic, number) for number in committed]
                firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            finally:
                await consumer.stop()
    return sum(max(0, end - max(firsts[tp], committed[tp.partition] or 0)) for tp, end in ends.items())


async def open_producer(settings: Settings) -> AIOKafkaProducer:
    """Return a started client that waits for every replica's acknowledgement."""
    producer = AIOKafkaProducer(
        **connection(settings), acks="all", max_request_size=MAX_RECORD_BYTES, enable_idempotence=True
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer
