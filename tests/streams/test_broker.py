"""Work with a broker that comes and goes."""

import asyncio
import logging

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaTimeoutError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
)

from streams import broker
from streams.broker import until_served
from streams.errors import Fatal, Outage
from streams.settings import Settings, load_settings


@pytest.fixture
def settings(broker_address: str) -> Settings:
    """Give the settings of a broker that is there."""
    return load_settings(kafka_bootstrap_servers=broker_address)


async def test_work_is_begun_anew_when_the_broker_goes_away_in_the_middle(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the client calls it; one line a reason says so."""
    failures: list[Exception] = [
        NodeNotReadyError("node 1"),
        KafkaTimeoutError(),
        ConnectionResetError(),
        TimeoutError(),
    ]

    async def work() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    with caplog.at_level(logging.WARNING, logger="streams.broker"):
        assert await until_served(settings, work) == "done"
    assert len(caplog.messages) == 4, "one a reason"
    assert "node 1" in caplog.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NodeNotReadyError("node 1"), Outage),
        (KafkaTimeoutError(), Outage),
        (TimeoutError(), Outage),
        (GroupAuthorizationFailedError("group"), Fatal),
        (IllegalStateError("a partition that is not ours"), type(None)),
        (KeyError("a bug"), type(None)),
    ],
)
def test_what_an_error_is_to_an_operator(error: Exception, kind: type) -> None:
    """An outage passes, a refusal does not; what is no fault of the broker is neither."""
    assert isinstance(broker.verdict(error), kind)


async def test_what_is_no_fault_of_the_broker_is_raised(settings: Settings) -> None:
    """At once, as it is."""

    async def work() -> None:
        raise IllegalStateError("a bug")

    async with asyncio.timeout(30):
        with pytest.raises(IllegalStateError):
            await until_served(settings, work)


async def test_what_waiting_does_not_help_is_said(settings: Settings) -> None:
    """With its reason."""

    async def work() -> None:
        raise TopicAuthorizationFailedError({"trades"})

    async with asyncio.timeout(30):
        with pytest.raises(Fatal, match=r"the broker refuses.*trades"):
            await until_served(settings, work)
