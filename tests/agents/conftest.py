"""A migrated database and a local Discord for the tests of what acts."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from agents.alerts.postgres import open_pool
from streams.settings import Settings, load_settings
from tests.discord_server import DiscordServer


@pytest.fixture
def settings(postgres_settings: dict[str, Any]) -> Settings:
    """Give settings of an empty database, without a webhook."""
    return load_settings(**postgres_settings)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Give a pool on a migrated database of the test's own."""
    pool = await open_pool(settings)
    yield pool
    await pool.close()


@pytest.fixture
async def discord() -> AsyncIterator[DiscordServer]:
    """Give a local Discord with one webhook."""
    async with DiscordServer() as server:
        yield server
