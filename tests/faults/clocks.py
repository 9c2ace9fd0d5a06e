"""Clocks that disagree: a process under libfaketime with a clock set by hand, and trades stamped with the present."""

import time
from collections.abc import Iterator
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Final

from tests.faults.feed import Script
from tests.faults.processes import Process
from tests.oracle import OracleTrade

# Debian's package libfaketime brings it. The variant with locks makes each look at the clock ten times as slow.
PLACES: Final = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
# Read anew at each look, the file would keep a worker from its work.
CACHE_SECONDS: Final = 1


def library() -> str:
    """Return where libfaketime is; empty where it is not installed."""
    return next((found for place in PLACES for found in glob(place)), "")  # noqa: PTH207 - a pattern with a root


class WrongClock:
    """A clock for processes started from now on, ahead of the true one by what :meth:`ahead` says, at any time.

    Only the time of day is false. What measures durations goes on, as on a real machine.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.ahead(0)

    def ahead(self, seconds: int) -> None:
        """Set it: by so many seconds too fast, or too slow where that is negative."""
        self._file.write_text(f"{seconds:+d}s\n", encoding="ascii")

    def give_to(self, process: Process) -> None:
        """Let a process go by it when it is started next."""
        process.environment = {
            **process.environment,
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(CACHE_SECONDS),
            # Of two releases, each under its own name.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def take_back(process: Process) -> None:
    """Let a process go by the machine's clock again when it is started next."""
    own = ("LD_PRELOAD", "FAKETIME")
    process.environment = {name: value for name, value in process.environment.items() if not name.startswith(own)}


class LiveScript(Script):
    """A script whose trades are stamped with the moment in which they are taken from it, as live ones are."""

    def __iter__(self) -> Iterator[OracleTrade]:
        for trade in super().__iter__():
            # Kraken's futures have milliseconds.
            yield replace(trade, time_us=time.time_ns() // 1_000_000 * 1000)
