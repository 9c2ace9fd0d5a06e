"""Topic ``trades`` gets the broker's time, also where it is there already, and keeps what else was set for it."""

import logging
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.admin import ensure_topics
from streams.kafka.record_times import BROKERS_TIME, NAME
from streams.kafka.topic_config import configuration
from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.settings import Settings, load_settings
from streams.topics import TRADES
from tests.faults.proxy import Proxy
from tests.kafka import RealKafka


@pytest.fixture
async def admin(kafka: RealKafka, network: Proxy) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a client, and a broker without the topic."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await client.start()
    if TRADES in await client.list_topics():
        await client.delete_topics([TRADES])
    yield client
    await client.close()


def settings_of(kafka: RealKafka, *, create_topics: bool = True) -> Settings:
    """Return settings of that broker."""
    return load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=2, create_topics=create_topics)


async def test_a_new_topic_has_the_brokers_time(kafka: RealKafka, admin: AIOKafkaAdminClient) -> None:
    assert await ensure_topics(settings_of(kafka)) is True
    found = await configuration(admin, TRADES)
    assert found[NAME] == (BROKERS_TIME, True)


async def test_a_topic_of_an_earlier_release_is_altered_and_keeps_its_settings(
    kafka: RealKafka, admin: AIOKafkaAdminClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator's retention stays, and it is said once."""
    await admin.create_topics([NewTopic(TRADES, 2, 1, topic_configs={"retention.ms": "86400000"})])
    with caplog.at_level(logging.WARNING, logger="streams.kafka.record_times"):
        assert await ensure_topics(settings_of(kafka)) is True
        assert await ensure_topics(settings_of(kafka)) is True
    found = await configuration(admin, TRADES)
    assert found[NAME][0] == BROKERS_TIME
    assert found["retention.ms"] == ("86400000", True)
    assert caplog.text.count(BROKERS_TIME) == 1


async def test_without_create_topics_nothing_is_altered(kafka: RealKafka, admin: AIOKafkaAdminClient) -> None:
    """Whoever makes the topics says what they are like."""
    await ensure_topics(settings_of(kafka))
    await admin.delete_topics([TRADES])
    await admin.create_topics([NewTopic(TRADES, 2, 1)])
    assert await ensure_topics(settings_of(kafka, create_topics=False)) is False


async def test_the_embedded_broker_does_not_say(fresh_broker: EmbeddedBroker) -> None:
    settings = load_settings(
        kafka_bootstrap_servers=fresh_broker.address, topic_partitions=PARTITIONS, create_topics=False
    )
    assert await ensure_topics(settings) is None
