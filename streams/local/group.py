"""``liqmon worker --processes N``: several workers as one program, which takes signals and answers for all of them.

Each member is a ``liqmon worker`` of its own and knows nothing of this process, which only starts, watches and stops.
"""

import asyncio
import logging
import os
import signal
from contextlib import ExitStack
from typing import Final

from streams.local.members import MOST_RESTARTS, Member, addresses, claim_places
from streams.settings import Settings
from streams.words import counted
from streams.worker.ending import MUST_NOT_GO_ON

log = logging.getLogger(__name__)

# A member that died is started again after a second at the earliest.
POLL_SECONDS: Final = 0.2
# A worker flushes and commits. What it cannot finish is read again at the next start.
GRACE_SECONDS: Final = 20.0
# What a shell says of a process that SIGINT ended: 128 + 2.
ABANDONED: Final = 130
# How a member ends that was asked to before it could arrange anything.
STARTING: Final = -signal.SIGTERM


def run_members(settings: Settings, count: int) -> int:
    """Run so many workers until told to stop, or until one cannot be kept; return the exit code.

    Raises :class:`Fatal` where it cannot start.
    """
    places = claim_places(settings, count)
    if count > settings.topic_partitions:
        log.warning(
            "%d processes share %d partitions (TOPIC_PARTITIONS): %d will stand by without work",
            count,
            settings.topic_partitions,
            count - settings.topic_partitions,
        )
    with ExitStack() as exits:
        members = [Member(place, os.environ) for place in places]
        for member in members:
            exits.callback(member.kill)
        return asyncio.run(Group(members).run())


class Group:
    """Members that start together and end together. Whoever made them kills them at the end."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._over = asyncio.Event()
        self._signals = 0
        self._failure: int | None = None
        self._is_said_ready = False

    async def run(self) -> int:
        """Run to the end and return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        log.info("starting %s", addresses(self._members))
        keeping = [asyncio.create_task(self._keep(member)) for member in self._members]
        await self._over.wait()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        return await self._end()

    async def _keep(self, member: Member) -> None:
        """Start a member, and again whenever it has ended, until that is of no use."""
        while True:
            try:
                member.start()
            except OSError as error:
                self._give_up(f"{member.place.name} cannot be started: {error.strerror}", MUST_NOT_GO_ON)
                return
            while member.exit_code is None:
                await member.look()
                self._say_ready()
                await asyncio.sleep(POLL_SECONDS)
            # Nothing of it is left, and its last line is heard.
            await asyncio.to_thread(member.kill)
            seconds = self._until_restart(member)
            if seconds is None:
                return
            await asyncio.sleep(seconds)

    def _until_restart(self, member: Member) -> float | None:
        """Say how a member ended. Return how long to wait before its next start, or None where all end."""
        code = member.exit_code or 0
        # All have the same settings. What keeps the first from starting keeps every other.
        if not any(other.has_been_ready for other in self._members):
            self._give_up(f"{member.obituary()}; no worker has been ready yet, so all stop", code)
            return None
        seconds = member.restarts.next_seconds()
        if seconds is None:
            self._give_up(f"{member.obituary()}; {MOST_RESTARTS} restarts did not help, so all stop", code)
            return None
        log.error(
            "%s; it starts again in %g s (restart %d of %d)",
            member.obituary(),
            seconds,
            member.restarts.taken,
            MOST_RESTARTS,
        )
        return seconds

    def _give_up(self, why: str, code: int) -> None:
        if not self._over.is_set():
            log.critical("%s", why)
            # No member ends with 0 unless it was asked to: by somebody who meant it alone.
            self._failure = code if code > 0 else MUST_NOT_GO_ON
            self._over.set()

    def _say_ready(self) -> None:
        if not self._is_said_ready and all(member.has_been_ready for member in self._members):
            self._is_said_ready = True
            log.info(
                "ready: %s, each shows all of them: %s; Ctrl-C stops all",
                counted(len(self._members), "worker"),
                " ".join(member.place.address for member in self._members),
            )

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals == 1 and not self._over.is_set():
            log.info("stopping %s (Ctrl-C again: at once)", counted(len(self._members), "worker"))
        self._over.set()

    async def _end(self) -> int:
        """Ask all to end at once, so that none takes over from another; return the exit code."""
        asked = [member for member in self._members if member.exit_code is None]
        for member in asked:
            member.terminate()
        before, deadline = self._signals, asyncio.get_running_loop().time() + GRACE_SECONDS
        while any(member.exit_code is None for member in asked):
            if self._signals > max(before, 1):
                log.warning("stopped without waiting; what was not committed is read again at the next start")
                return ABANDONED
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
        codes = [self._ended(member) for member in asked]
        if self._failure is not None:
            return self._failure
        if not any(codes):
            log.info("all workers have ended")
        return max(codes, default=0)

    def _ended(self, member: Member) -> int:
        """Return the exit code of a member that was asked to end, 0 if it did as it should, and name it otherwise."""
        code = member.exit_code
        member.kill()
        if code in (0, STARTING):
            return 0
        if code is None:
            log.error("%s did not end within %g s and is killed", member.place.name, GRACE_SECONDS)
            return MUST_NOT_GO_ON
        # Where all end for one, others have often died of the same: their own lines say so.
        if self._failure is None:
            log.error("%s", member.obituary())
        return code if code > 0 else MUST_NOT_GO_ON
