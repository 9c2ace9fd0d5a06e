"""A Kraken that does what the test says."""

from collections.abc import AsyncIterator

import pytest_asyncio

from streams.venues.simulator import KrakenServer


@pytest_asyncio.fixture
async def kraken() -> AsyncIterator[KrakenServer]:
    """Give a server that knows every symbol and sends what it is told to."""
    server = KrakenServer(heartbeat_seconds=0.05)
    await server.start()
    yield server
    await server.stop()
