"""What playing a recording costs, from its first row to the report: ``python -m tests.benchmarks.recording``.

``liqmon run`` plays made trades as fast as it can, on the servers that it starts itself. Printed are trades a second
(the run's own summary), and the processor seconds and the memory of each process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from streams.settings import Settings
from tests.benchmarks.recorded_trades import FORMS, write
from tests.machine import below, cpu_seconds, resident_bytes

LOOK_SECONDS: Final = 0.2
MEGABYTE: Final = 1024 * 1024
# What starts a process and then becomes it.
GUARD: Final = "guards"
# How the processes of a run are told apart, by a part of their command lines; the first that fits counts.
_ROLES: Final = (
    ("guard.py", GUARD),
    ("streams.cli\0produce", "producer"),
    ("streams.cli\0worker", "worker"),
    ("mock_cluster", "broker"),
    ("valkey", "redis"),
    ("redis", "redis"),
    ("postgres", "postgres"),
)


class Played(NamedTuple):
    """What a run of a recording took. ``cpu`` and ``rss_mb`` are by process; memory is the most that was seen."""

    trades: int
    trades_per_second: float
    seconds: float
    cpu: dict[str, float]
    rss: dict[str, float]
    output: str

    @property
    def cpu_seconds_per_million(self) -> float:
        """Processor seconds of all processes for a million trades, their starts and ends included."""
        return sum(self.cpu.values()) / self.trades * 1e6

    @property
    def rss_mb(self) -> float:
        """Memory of producer and worker, each at its most."""
        return self.rss["producer"] + self.rss["worker"]


class _Summary(msgspec.Struct):
    trades: int
    duplicates: int
    late: int
    dead_letters: int
    seconds: float


def play(files: list[Path], directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> Played:
    """Play a recording and return what that took. Raises :class:`RuntimeError` for a run that failed."""
    names = {name.upper() for name in Settings.model_fields} | {"FILE", "SYMBOL"}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    own = {"DATA_DIR": str(directory / "data"), "WEB_PORT": "0", "PRODUCER_METRICS_PORT": "0"}
    report, printed = directory / "report.json", directory / "printed"
    given = [part for file in files for part in ("--file", str(file))]
    with printed.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "run", *given, "--report", str(report), *arguments],
            env=clean | {"PYTHONPATH": str(Path.cwd())} | own | (environment or {}),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        cpu: dict[int, tuple[str, float]] = {}
        rss: dict[str, float] = defaultdict(float)
        is_over = False
        while not is_over:
            for pid in (run.pid, *below(run.pid)):
                before, used = cpu.get(pid, (GUARD, 0.0))
                # A process that is ending has no command line any more.
                role = "supervisor" if pid == run.pid else before if before != GUARD else _role(pid)
                cpu[pid] = role, max(cpu_seconds([pid]), used)
                rss[role] = max(rss[role], resident_bytes(pid) / MEGABYTE)
            with suppress(subprocess.TimeoutExpired):
                run.wait(LOOK_SECONDS)
                is_over = True
    text = printed.read_text()
    if run.returncode:
        raise RuntimeError(text[-2000:])
    summary = msgspec.json.decode(report.read_bytes(), type=_Summary)
    by_role: dict[str, float] = defaultdict(float)
    for role, seconds in cpu.values():
        by_role[role] += seconds
    return Played(summary.trades, summary.trades / summary.seconds, summary.seconds, dict(by_role), dict(rss), text)


def _role(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return GUARD
    return next((role for part, role in _ROLES if part in command), GUARD)


def measure(
    form: str = "csv", *, trades: int = 3_000_000, markets: int = 1, rate: float = 10.0, show: bool = False
) -> Played:
    """Make a recording, play it and check that every trade was counted.

    ``rate`` is trades a second of event time, of each market. Raises :class:`RuntimeError` where any is missing.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        played = play(write(directory, form, trades, markets, rate), directory)
    if show:
        sys.stdout.write(played.output)
    if played.trades != trades:
        raise RuntimeError(f"{played.trades} of {trades} trades were counted\n{played.output[-2000:]}")
    return played


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--form", choices=FORMS, action="append")
    parser.add_argument("--trades", type=int, default=3_000_000)
    parser.add_argument("--markets", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10.0, help="trades a second of event time, of each market")
    parser.add_argument("--show", action="store_true", help="print what the run printed, too")
    given = parser.parse_args()
    for form in given.form or FORMS:
        played = measure(form, trades=given.trades, markets=given.markets, rate=given.rate, show=given.show)
        cpu = ", ".join(f"{role} {1e6 * used / played.trades:.2f}" for role, used in sorted(played.cpu.items()))
        rss = ", ".join(f"{role} {played.rss[role]:.0f}" for role in ("producer", "worker", "broker"))
        sys.stdout.write(
            f"{form}, {given.trades:,} trades of {given.markets} markets, {given.rate:g}/s each: "
            f"{played.trades_per_second:,.0f} trades/s, {played.seconds:.1f} s; "
            f"CPU s a million {played.cpu_seconds_per_million:.2f} ({cpu}); MB {rss}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
