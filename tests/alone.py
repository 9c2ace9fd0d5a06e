"""A test that measures how fast a page is runs alone: the other workers of the same run wait until it is done."""

import fcntl
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """The right to run a test, shared by all processes of one run: of many at once, or of one alone.

    Whoever asks to be alone holds the door: those that run end, and no other begins.
    """

    def __init__(self, directory: Path) -> None:
        self._door = directory / "door.lock"
        self._room = directory / "room.lock"

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Run beside others."""
        with self._room.open("a") as room:
            with self._door.open("a") as door, _off_the_clock():
                fcntl.flock(door, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_SH)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run when all others have ended."""
        with self._door.open("a") as door, self._room.open("a") as room:
            with _off_the_clock():
                fcntl.flock(door, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_EX)
            yield


@contextmanager
def _off_the_clock() -> Iterator[None]:
    """Stop pytest-timeout's clock: who waits for a turn waits for others' tests, and those have limits of their own."""
    # It is an alarm of the main thread's.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
