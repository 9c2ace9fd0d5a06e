"""A test that measures frames of a page runs alone: the other workers of the same run wait until it is done."""

import fcntl
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
            with self._door.open("a") as door:
                fcntl.flock(door, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_SH)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run when all others have ended."""
        with self._door.open("a") as door, self._room.open("a") as room:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX)
            yield
