"""The log files of a run stay small and go on over restarts."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from streams.local import log_files
from streams.local.embedded.process import Child
from streams.local.log_files import KEPT, keep_short, shorten
from tests.waiting import until

WRITER = """
import sys
for line in sys.stdin:
    print(line, end="", flush=True)
"""


def test_a_long_log_begins_anew_and_keeps_what_it_held(tmp_path: Path) -> None:
    """The newest older file is number 1, and there are never more than KEPT."""
    path = tmp_path / "worker.log"
    for round_ in range(KEPT + 2):
        path.write_text(f"{round_}" * 11)
        shorten(tmp_path, max_bytes=10)
    assert path.read_text() == ""
    older = [path.with_name(f"worker.log.{number}").read_text()[0] for number in range(1, KEPT + 1)]
    assert older == [str(round_) for round_ in range(KEPT + 1, 1, -1)]
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    """However often it is looked at."""
    (tmp_path / "worker.log").write_text("a line\n")
    shorten(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log"]


def test_a_program_goes_on_writing_to_the_file_that_was_emptied(tmp_path: Path) -> None:
    """Without a hole where the old text was."""
    path = tmp_path / "worker.log"
    with path.open("ab") as output, subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=output, text=True
    ) as writer:  # fmt: skip
        assert writer.stdin is not None
        writer.stdin.write("before\n")
        writer.stdin.flush()
        asyncio.run(until(lambda: path.stat().st_size == len("before\n")))
        shorten(tmp_path, max_bytes=1)
        writer.stdin.write("after\n")
        writer.stdin.close()
        assert writer.wait(10) == 0
    assert path.read_text() == "after\n"
    assert path.with_name("worker.log.1").read_text() == "before\n"


def test_what_a_child_said_last_is_its_own(tmp_path: Path) -> None:
    """Never what the same program said in an earlier run."""
    log = tmp_path / "worker.log"
    log.write_text("the last line of yesterday\n")
    silent = Child("the worker", [sys.executable, "-c", "raise SystemExit(3)"], log=log)
    silent.process.wait(10)
    assert silent.obituary() == f"the worker ended with code 3 (log: {log})"
    silent.kill()
    loud = Child("the worker", [sys.executable, "-c", "print('today')"], log=log)
    loud.process.wait(10)
    assert loud.last_words() == "today"
    loud.kill()
    assert log.read_text() == "the last line of yesterday\ntoday\n"


async def test_logs_are_looked_at_while_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, until the run ends."""
    monkeypatch.setattr(log_files, "CHECK_SECONDS", 0.01)
    keeping = asyncio.create_task(keep_short(tmp_path, max_bytes=10))
    for number in (1, 2):
        (tmp_path / "worker.log").write_text(f"{number}" * 11)
        await until(lambda: (tmp_path / "worker.log").stat().st_size == 0)
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
