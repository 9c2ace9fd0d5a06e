"""A Kraken that does what the test says."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.kraken_server import ScriptedKraken


@pytest_asyncio.fixture
async def kraken() -> AsyncIterator[ScriptedKraken]:
    """Give a server that knows every symbol and sends what it is told to."""
    server = ScriptedKraken(heartbeat_seconds=0.05)
    await server.start()
    yield server
    await server.stop()
