"""A notifier that runs for the length of a block, and the outbox as it stands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.delivery.discord import Discord
from agents.delivery.notifier import Notifier
from tests.discord_server import DiscordServer

Running = Callable[..., AbstractAsyncContextManager[Notifier]]

WEB_URL = "http://127.0.0.1:6066"
QUICK: dict[str, float] = {"poll_seconds": 0.02, "upkeep_seconds": 0.05, "first_delay_seconds": 0.02}


@pytest.fixture
def recorder(pool: asyncpg.Pool) -> Recorder:
    """Give a recorder whose alerts are to be delivered."""
    return Recorder(pool, deliver=True)


@asynccontextmanager
async def notifying(notifier: Notifier) -> AsyncIterator[Notifier]:
    """Run a notifier for the length of the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(notifier.run(stop))
    try:
        yield notifier
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


@pytest.fixture
def running(pool: asyncpg.Pool, discord: DiscordServer) -> Running:
    """Give a way to run a notifier of the local Discord for the length of a block."""

    def run(**options: Any) -> AbstractAsyncContextManager[Notifier]:
        channel = Discord(discord.webhook, api_base=discord.base, web_url=WEB_URL)
        return notifying(Notifier(pool, channel, **{**QUICK, **options}))

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
