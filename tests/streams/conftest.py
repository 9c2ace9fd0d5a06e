"""Fixtures for the tests of what flows."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet_client() -> Iterator[None]:
    """Give the client's logger back as it was."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    yield
    logger.setLevel(level)
