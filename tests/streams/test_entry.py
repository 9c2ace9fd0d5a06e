"""Ctrl-C in the first second of a command ends it in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["logging", "pydantic_core", "uvloop", "streams.settings", "aiokafka", "asyncpg"])
def test_ctrl_c_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    """Whichever module that is: those in Rust made a panic of it, the others a traceback."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "streams.entry", "run"],
        env=os.environ | {"DATA_DIR": str(tmp_path / "data"), "WEB_PORT": "0", "PRODUCER_METRICS_PORT": "0"},
        # Away from the developer's .env.
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stderr is not None
            imported = next(
                line for line in command.stderr if line.partition("|")[2].partition("|")[2].strip() == module
            )
            command.send_signal(signal.SIGINT)
            said = [line for line in command.stderr if not line.startswith("import time:")]
            assert command.wait(30) == 130, imported
        finally:
            # One that goes on has started servers. Those end with it.
            command.kill()
    assert said == ["liqmon: stopped before it was ready\n"]
    assert not (tmp_path / "data").exists()
