"""A disk of a few megabytes that fills up on demand."""

import contextlib
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import NotCovered

DISK_MEGABYTES = 256


class Disk:
    """A small file system of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self) -> int:
        """Leave no byte free, and return how many were."""
        written = 0
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                written += file.write(bytes(65_536))
        return written

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()


@contextlib.contextmanager
def mounted(directory: Path) -> Iterator[Disk]:
    """Mount a disk in memory; skip the test where that is not permitted."""
    with _mounted(directory) as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


@contextlib.contextmanager
def mounted_if_permitted(directory: Path) -> Iterator[Disk | None]:
    """Mount a disk in memory; where that is not permitted, say what is not covered and do without."""
    with _mounted(directory) as found:
        if isinstance(found, str):
            warnings.warn(found, NotCovered, 2)
            yield None
        else:
            yield found


@contextlib.contextmanager
def _mounted(directory: Path) -> Iterator[Disk | str]:
    """Mount a disk, or give in one line what is not covered without."""
    directory.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(directory)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        yield f"not covered: a full disk needs the right to mount one ({done.stderr.strip()})"
        return
    try:
        yield Disk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], timeout=10, check=True)
