"""The directory of a run or a worker: private to its account, and held by one process at a time."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from streams.errors import Fatal

PRIVATE: Final = 0o700
LOCK: Final = "lock"

# What this process holds until it ends: two locks of one process on one file would exclude each other.
_held: Final = ExitStack()
_held_directories: Final[set[Path]] = set()


def make_private(directory: Path) -> None:
    """Make a directory that only its account enters. Raises :class:`Fatal` where it cannot be made or written.

    One that an earlier version made, which its lock shows, becomes private too. Any other is left as it is.
    """
    try:
        if not directory.is_dir():
            directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        elif _is_ours(directory):
            directory.chmod(PRIVATE)
    except OSError as error:
        raise Fatal(f"DATA_DIR {directory} cannot be written: {os.strerror(error.errno or 0).lower()}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Fatal(f"DATA_DIR {directory} cannot be written: permission denied")


@contextlib.contextmanager
def lock_directory(directory: Path, holder: str = "run") -> Iterator[None]:
    """Make ``directory`` private and hold it for this process, a ``run`` or a ``worker``.

    Raises :class:`Fatal` when it cannot be written or another process holds it.
    """
    make_private(directory)
    try:
        file = (directory / LOCK).open("a+")
    except OSError as error:
        raise Fatal(f"DATA_DIR {directory} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid, _, kind = file.read().strip().partition(" ")
            raise Fatal(
                f"DATA_DIR {directory} is in use by another {kind or 'run'}{f' (process {pid})' if pid else ''}: "
                "stop it, or set another DATA_DIR"
            ) from None
        # A full disk takes no text; the lock holds all the same.
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()} {holder}\n")
            file.flush()
        yield


def hold_directory(directory: Path) -> None:
    """Hold a worker's directory until this process ends. Raises :class:`Fatal` like :func:`lock_directory`."""
    directory = directory.resolve()
    if directory not in _held_directories:
        _held.enter_context(lock_directory(directory, "worker"))
        _held_directories.add(directory)


def _is_ours(directory: Path) -> bool:
    """Whether a run or a worker made it: never a directory that several accounts share, such as ``/tmp``."""
    found = directory.stat()
    shared = found.st_mode & stat.S_ISVTX
    return not shared and found.st_uid == os.geteuid() and (directory / LOCK).is_file()
