"""What the fault suite logs is its report; what clients and servers within it say of every connection is not."""

import logging

import pytest

from tests.kafka import RealKafka


def skip_without_kafka(node: pytest.Item | pytest.Module) -> None:
    """Skip what is marked ``real_kafka`` where none can run."""
    if node.get_closest_marker("real_kafka") and (reason := RealKafka.available()):
        name = node.name.partition("[")[0]
        pytest.skip(f"not covered: {name} on a real Kafka ({reason}); the embedded broker has one worker and no disk")


@pytest.fixture(autouse=True, scope="module")
def _real_kafka_for_the_module(request: pytest.FixtureRequest) -> None:
    skip_without_kafka(request.node)


@pytest.fixture(autouse=True)
def _real_kafka(request: pytest.FixtureRequest) -> None:
    skip_without_kafka(request.node)


@pytest.fixture(autouse=True, scope="session")
def _quiet_clients() -> None:
    for name in ("aiokafka", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
