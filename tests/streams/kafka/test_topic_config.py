"""A changelog of an earlier release gets this one's configuration; what an operator has set stays."""

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.admin import CHANGELOG_CONFIG, FORMER_CHANGELOG_CONFIG, ensure_topics
from streams.kafka.topic_config import configuration
from streams.settings import load_settings
from tests.faults.proxy import Proxy
from tests.kafka import RealKafka

CHANGELOG = "test-config-changelog"


@pytest.fixture
async def admin(kafka: RealKafka, network: Proxy) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a client, and a broker without the topic."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await client.start()
    if CHANGELOG in await client.list_topics():
        await client.delete_topics([CHANGELOG])
    yield client
    await client.close()


@pytest.mark.parametrize("topics", [True, False])
async def test_a_changelog_of_an_earlier_release(kafka: RealKafka, admin: AIOKafkaAdminClient, *, topics: bool) -> None:
    """Where the program may make topics. It kept two days of writes, and keeps an hour from now on."""
    before = {"cleanup.policy": "compact", "segment.ms": "60000", "max.message.bytes": "9000000"}
    await admin.create_topics([NewTopic(CHANGELOG, 2, 1, topic_configs=before | FORMER_CHANGELOG_CONFIG)])
    settings = load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=2, create_topics=topics)
    await ensure_topics(load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=2))
    await ensure_topics(settings, {CHANGELOG: CHANGELOG_CONFIG})
    found = {name: value for name, (value, _) in (await configuration(admin, CHANGELOG)).items()}
    wanted = {**CHANGELOG_CONFIG, **before} if topics else before | FORMER_CHANGELOG_CONFIG
    assert wanted.items() <= found.items()
    assert int(found["min.compaction.lag.ms"]) == (1 if topics else 48) * 3_600_000
