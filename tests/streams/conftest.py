"""Fixtures for the tests of what flows."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.faults.proxy import Proxy
from tests.kafka import RealKafka
from tests.kafka.access import ACCESS_CONTROL
from tests.kafka.server import free_ports


@pytest.fixture(autouse=True)
def _quiet_client() -> Iterator[None]:
    """Give the client's logger back as it was."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """Give the module's Kafka, which clients reach through :func:`network` alone, and which can refuse."""
    if reason := RealKafka.available():
        pytest.skip(f"not covered: a real Kafka ({reason}); the embedded broker can neither be cut off nor refuse")
    (port,) = free_ports(1)
    with RealKafka(tmp_path_factory.mktemp("kafka"), advertised_port=port, overrides=ACCESS_CONTROL) as kafka:
        yield kafka


@pytest.fixture
async def network(kafka: RealKafka) -> AsyncIterator[Proxy]:
    """Give the way to that Kafka, in order."""
    async with Proxy(kafka.port, listen_port=kafka.advertised_port) as proxy:
        yield proxy
