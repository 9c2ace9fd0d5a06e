"""Work with a broker that comes and goes."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
)

from streams.errors import Fatal, Outage
from streams.kafka import admin
from streams.kafka.admin import until_served
from streams.kafka.mends import mend_aiokafka
from streams.kafka.security import connection
from streams.settings import Settings, load_settings
from streams.topics import TRADES
from tests.faults.proxy import Proxy
from tests.kafka import RealKafka
from tests.kafka.access import refused
from tests.waiting import until

GROUP = "test-broker"
PLACE = TopicPartition(TRADES, 0)


@pytest.fixture
async def settings(kafka: RealKafka, network: Proxy) -> Settings:
    """Give the settings of a broker that is there, with its topics."""
    settings = load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=2)
    await admin.ensure_topics(settings)
    return settings


async def with_client(settings: Settings, ask: Callable[[AIOKafkaConsumer], Awaitable[Any]]) -> Any:
    """Ask a client that belongs to a group and has no partition."""
    mend_aiokafka()
    client = AIOKafkaConsumer(**connection(settings), group_id=GROUP)
    await client.start()
    try:
        return await ask(client)
    finally:
        await client.stop()


async def test_work_is_begun_anew_when_the_broker_goes_away_in_the_middle(
    settings: Settings, network: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for the broker first, and says each once."""
    begun: list[int] = []

    async def work() -> dict[int, int]:
        begun.append(len(begun))
        if len(begun) == 1:
            await network.refuse()
        return await admin.end_offsets(settings, TRADES)

    with caplog.at_level(logging.WARNING, logger="streams.kafka.admin"):
        serving = asyncio.create_task(until_served(settings, work))
        await until(lambda: "waiting for Kafka" in caplog.text)
        assert begun == [0]
        await network.heal()
        assert await asyncio.wait_for(serving, 20) == {0: 0, 1: 0}
    assert begun == [0, 1]
    gone, awaited = (record.getMessage() for record in caplog.records if record.name == "streams.kafka.admin")
    assert f"Kafka at {settings.kafka_bootstrap_servers} went away again (KafkaConnectionError" in gone
    assert f"waiting for Kafka at {settings.kafka_bootstrap_servers}" in awaited


@pytest.mark.parametrize(
    "work",
    [
        lambda settings: admin.ensure_topics(settings.model_copy(update={"create_topics": False})),
        lambda settings: admin.end_offsets(settings, TRADES),
        admin.open_producer,
    ],
    ids=["ask", "ends", "producer"],
)
async def test_a_client_that_cannot_start_is_closed(
    settings: Settings, network: Proxy, caplog: pytest.LogCaptureFixture, work: Callable[[Settings], Awaitable[Any]]
) -> None:
    """While the broker is away it is tried again and again."""
    await network.refuse()
    with pytest.raises(KafkaConnectionError):
        await work(settings)
    gc.collect()
    assert "Unclosed" not in caplog.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NodeNotReadyError("node 1"), Outage),
        (KafkaTimeoutError(), Outage),
        (TimeoutError(), Outage),
        (ConnectionResetError(), Outage),
        (GroupAuthorizationFailedError("group"), Fatal),
        (IllegalStateError("a partition that is not ours"), type(None)),
        (KeyError("a bug"), type(None)),
    ],
)
def test_what_an_error_is_to_an_operator(error: Exception, kind: type) -> None:
    """An outage passes, a refusal does not; what is no fault of the broker is neither."""
    assert isinstance(admin.verdict(error), kind)


async def test_what_is_no_fault_of_the_broker_is_raised(settings: Settings) -> None:
    """At once, as it is."""
    async with asyncio.timeout(30):
        with pytest.raises(IllegalStateError):
            await until_served(settings, lambda: with_client(settings, lambda client: client.position(PLACE)))


async def test_what_waiting_does_not_help_is_said(settings: Settings, kafka: RealKafka) -> None:
    """With its reason."""
    with refused(kafka.direct_address, GROUP):
        async with asyncio.timeout(30):
            with pytest.raises(Fatal, match=rf"the broker refuses.*{GROUP}"):
                await until_served(settings, lambda: with_client(settings, lambda client: client.committed(PLACE)))
