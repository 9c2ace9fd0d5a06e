"""Parts that no peer does: how soon an alert is written, and a recording played from its file to the report.

Each is measured by a module of its own, which is a command too.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from streams.errors import Fatal
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import Part

ROOT: Final = Path(__file__).parents[3]
LATENCY: Final = "tests.benchmarks.latency"
RECORDING: Final = "tests.benchmarks.recording"
LATENCY_SECONDS: Final = 30
SECONDS_AT_MOST: Final = 300


def measure(part: Part) -> Run:
    """Return a run of a part. Raises :class:`Fatal` where its module failed or says something else than it did."""
    if part.name.startswith("latency"):
        words = [LATENCY, str(LATENCY_SECONDS), "--rate", str(part.rate), "--symbols", str(part.symbols)]
        return latency_of(_said(words))
    words = [RECORDING, "--form", "csv", "--trades", str(part.trades), "--markets", str(part.symbols)]
    return recording_of(part.trades, _said(words))


def _said(words: list[str]) -> str:
    command = [sys.executable, "-m", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_AT_MOST, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise Fatal(f"{words[0]} took more than {SECONDS_AT_MOST} s") from None
    if done.returncode:
        raise Fatal(f"{words[0]} failed: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
    return done.stdout


def _figures(pattern: str, said: str) -> list[float]:
    found = re.search(pattern, said, re.DOTALL)
    if found is None:
        raise Fatal(f"no figures are in what was said: {said[:200]}")
    return [float(figure.replace(",", "")) for figure in found.groups()]


def latency_of(said: str) -> Run:
    """Return what was said of a latency: ``seconds`` is the 99th percentile, processor time is the worker's."""
    rate, used, p99 = _figures(r"alerts at ([\d.]+) trades/s .*worker ([\d.]+).*\nwhole(?: +[\d.]+){3} +([\d.]+)", said)
    return Run(rate * LATENCY_SECONDS, used * LATENCY_SECONDS, p99 / 1000, None, rate=rate)


def recording_of(trades: int, said: str) -> Run:
    """Return what was said of a recording: processor time of all processes, memory of producer and worker."""
    seconds, used, producer, worker = _figures(
        r"trades/s, ([\d.,]+) s; CPU s a million ([\d.]+) .*MB producer ([\d.]+), worker ([\d.]+)", said
    )
    return Run(trades, used * trades / 1e6, seconds, producer + worker)
