"""What the fault suite logs is its report; what clients and servers within it say of every connection is not."""

import logging

import pytest


@pytest.fixture(autouse=True, scope="session")
def _quiet_clients() -> None:
    for name in ("aiokafka", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
