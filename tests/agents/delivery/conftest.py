"""A notifier that runs for the length of a block, and the outbox as it stands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.delivery.notifier import Notifier
from streams.settings import Settings, load_settings
from tests.discord_server import DiscordServer

Running = Callable[..., AbstractAsyncContextManager[Notifier]]

QUICK: dict[str, float] = {"poll_seconds": 0.02, "upkeep_seconds": 0.05, "first_delay_seconds": 0.02}


@pytest.fixture
def hooked(postgres_settings: dict[str, Any], discord: DiscordServer) -> Settings:
    """Give settings with the local Discord's webhook as the second one, which goes first."""
    return load_settings(**postgres_settings, discord_webhook_url_2=discord.webhook, discord_api_base=discord.base)


@pytest.fixture
def recorder(pool: asyncpg.Pool) -> Recorder:
    """Give a recorder whose alerts are to be delivered."""
    return Recorder(pool, deliver=True)


@pytest.fixture
def running(pool: asyncpg.Pool, hooked: Settings) -> Running:
    """Give a way to run a notifier for the length of a block."""

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Notifier]:
        assert hooked.webhook is not None
        notifier = Notifier(pool, hooked, hooked.webhook, **{**QUICK, **options})
        stop = asyncio.Event()
        task = asyncio.create_task(notifier.run(stop))
        try:
            yield notifier
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    return run


async def rows(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    """Return the outbox by pane."""
    return [dict(row) for row in await pool.fetch('SELECT * FROM alert_outbox ORDER BY "timestamp", symbol')]


async def states(pool: asyncpg.Pool) -> list[str]:
    """Return the outbox's states by pane."""
    return [row["state"] for row in await rows(pool)]


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_seconds: float = 15.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(timeout_seconds):
        while not await condition():  # noqa: ASYNC110 - a database has no event to wait for
            await asyncio.sleep(0.01)


async def until(pool: asyncpg.Pool, *wanted: str) -> None:
    """Wait until the outbox's states by pane are these."""

    async def reached() -> bool:
        return await states(pool) == list(wanted)

    await eventually(reached)
