"""Tasks end when they are told to, also those whose libraries swallow it."""

import asyncio
import contextlib

import pytest

from streams import tasks


async def test_a_loop_whose_library_takes_the_cancellation_for_a_timeout_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told again, once it waits somewhere else."""
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    started = asyncio.Event()

    async def loop() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def failing() -> None:
        raise ValueError

    running = [asyncio.create_task(loop()), asyncio.create_task(failing())]
    await started.wait()
    await asyncio.wait_for(tasks.cancelled(*running), 5)
    assert [task.done() for task in running] == [True, True]
