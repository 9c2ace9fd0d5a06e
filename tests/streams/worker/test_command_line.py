"""``faust -A streams.app worker`` writes log lines into a log file, and nothing for terminals."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.data_directory import lock_directory
from tests.faults.processes import wait_until

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: .+")


@pytest.mark.parametrize("options", [[], ["-l", "info"]])
def test_every_line_of_a_log_file_is_a_log_line(tmp_path: Path, options: list[str]) -> None:
    """No banner, no spinner, no colours; the level is the command's own option."""
    log = tmp_path / "log"
    environment = {"DATA_DIR": str(tmp_path / "data"), "WEB_PORT": "0", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with log.open("w") as output, subprocess.Popen(
        [sys.executable, "-m", "faust", "-A", "streams.app", "worker", *options],
        env=os.environ | environment | {"PYTHONPATH": str(Path.cwd())}, cwd=tmp_path, stdout=output, stderr=output,
    ) as worker:  # fmt: skip
        try:
            wait_until(lambda: "waiting for Kafka" in log.read_text(), 30, "a line about Kafka")
            worker.send_signal(signal.SIGINT)
            if options:
                wait_until(lambda: "Stopping..." in log.read_text(), 30, "a line about the end")
        finally:
            worker.kill()
    lines = log.read_text().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert any(" INFO " in line for line in lines) == bool(options)


def test_a_directory_that_another_worker_holds_ends_it_before_it_joins(tmp_path: Path) -> None:
    """Though the broker is not there to be joined."""
    environment = {"DATA_DIR": str(tmp_path / "data"), "WEB_PORT": "0", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with lock_directory(tmp_path / "data", "worker"):
        ended = subprocess.run(
            [sys.executable, "-m", "faust", "-A", "streams.app", "worker"],
            env=os.environ | environment | {"PYTHONPATH": str(Path.cwd())}, cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 70
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert f"DATA_DIR {tmp_path / 'data'} is in use by another worker (process {os.getpid()}): stop it, or" in line
