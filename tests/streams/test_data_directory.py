"""A data directory belongs to one process at a time, and to one account."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.data_directory import LOCK, hold_directory, lock_directory, make_private
from streams.errors import Fatal

IN_ANOTHER = """
import sys
from pathlib import Path
from streams.data_directory import hold_directory
from streams.errors import Fatal
try:
    hold_directory(Path(sys.argv[1]))
except Fatal as error:
    sys.exit(str(error))
"""


def mode_of(directory: Path) -> int:
    """Return who may do what with a directory."""
    return directory.stat().st_mode & 0o7777


def hold_elsewhere(directory: Path) -> str:
    """Hold the directory in a process of its own; return what that says."""
    ended = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER, str(directory)], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.stderr.strip()


def test_two_runs_on_one_directory(tmp_path: Path) -> None:
    """The second run is told that the first has the directory, and by which process."""
    with lock_directory(tmp_path), pytest.raises(Fatal, match=f"in use by another run .process {os.getpid()}"):  # noqa: SIM117
        with lock_directory(tmp_path):
            pass


def test_lock_is_free_after_the_run(tmp_path: Path) -> None:
    """A run that ended holds nothing."""
    for _ in range(2):
        with lock_directory(tmp_path / "data"):
            assert (tmp_path / "data").is_dir()


def test_a_worker_holds_its_directory_until_it_ends(tmp_path: Path) -> None:
    """Another process is told which worker has it; the worker itself may ask again."""
    hold_directory(tmp_path / "data")
    hold_directory(tmp_path / "data")
    assert hold_elsewhere(tmp_path / "data") == (
        f"DATA_DIR {tmp_path / 'data'} is in use by another worker (process {os.getpid()}): "
        "stop it, or set another DATA_DIR"
    )
    assert hold_elsewhere(tmp_path / "other") == ""
    assert hold_elsewhere(tmp_path / "other") == "", "a process that ended holds nothing"


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A data directory below a file is refused in one line that names the setting."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(Fatal, match=r"DATA_DIR .* cannot be written: not a directory"),
        lock_directory(tmp_path / "file" / "data"),
    ):
        pass


def test_what_is_made_is_private(tmp_path: Path) -> None:
    """Whatever the process leaves to others elsewhere."""
    before = os.umask(0)
    try:
        make_private(tmp_path / "data")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "data") == 0o700


def test_a_directory_of_an_earlier_version_becomes_private(tmp_path: Path) -> None:
    """Its lock shows that a run or a worker made it."""
    (tmp_path / LOCK).write_text("1\n")
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert mode_of(tmp_path) == 0o700


@pytest.mark.parametrize(("mode", "lock"), [(0o755, False), (0o1777, True)])
def test_a_directory_of_others_is_left_as_it_is(tmp_path: Path, mode: int, lock: bool) -> None:
    """One that is not ours, or that all accounts share."""
    if lock:
        (tmp_path / LOCK).write_text("1\n")
    tmp_path.chmod(mode)
    make_private(tmp_path)
    assert mode_of(tmp_path) == mode
