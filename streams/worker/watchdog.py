"""Ends a worker that does not get on: nothing was committed for long although messages wait for it.

Whatever holds it up, a process that is started again gets on, or others take its partitions over.
"""

import asyncio
import errno
import faulthandler
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from streams.errors import Fatal, Outage
from streams.tasks import cancelled
from streams.unexpected import say_once

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""How often it looks. It counts looks and not seconds: a process that was frozen has not been stuck meanwhile."""

STANDARD_ERROR: Final = 2
"""Its descriptor. In the place of sys.stderr Faust puts a log without one, which the interpreter refuses."""


class Stuck(Fatal):
    """The worker does not get on. Starting again goes on from the last commit."""


class Watchdog:
    """Looks whether the worker gets on.

    ``progress`` returns something that differs whenever it does. ``lag`` asks the broker how many messages wait, and
    raises :class:`Outage` where that does not answer. ``on_stuck`` is called once.
    """

    def __init__(
        self,
        deadline_seconds: float,
        progress: Callable[[], object],
        lag: Callable[[], Awaitable[int]],
        on_stuck: Callable[[Stuck], object],
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._progress = progress
        self._lag = lag
        self._on_stuck = on_stuck
        self._task: asyncio.Task[None] | None = None
        self._last: object = None
        self._looks = 0

    async def start(self) -> None:
        """Look in the background."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._task is not None:
            await cancelled(self._task)

    async def _watch(self) -> None:
        while True:
            try:
                stuck = await self._look()
            except Exception as error:  # noqa: BLE001 - a watch that ended would be missed by nobody
                say_once(log, "looking whether the worker gets on", error)
                stuck = None
            if stuck is not None:
                self._on_stuck(stuck)
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> Stuck | None:
        # This task cannot see that the loop itself hangs. The interpreter does, says where, and ends with 1.
        # Its clock may jump by minutes, so it has more time.
        faulthandler.dump_traceback_later(2 * self._deadline_seconds, file=STANDARD_ERROR, exit=True)
        now = self._progress()
        self._looks, self._last = (self._looks + 1, self._last) if now == self._last else (0, now)
        if self._looks * LOOK_SECONDS < self._deadline_seconds:
            return None
        self._looks = 0
        return await self._judge()

    async def _judge(self) -> Stuck | None:
        """Return what keeps the worker from getting on; None where nothing waits, or where it is the broker."""
        held = f"nothing was committed for {self._deadline_seconds:g} s"
        if not _has_descriptors():
            return Stuck(f"{held}, and no file can be opened: too many are open; start again, and raise ulimit -n")
        try:
            lag = await self._lag()
        except Outage:
            return None
        return Stuck(f"{held} although {lag} messages wait; start again to go on from the last commit") if lag else None


def _has_descriptors() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True
