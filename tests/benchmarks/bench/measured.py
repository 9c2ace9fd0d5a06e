"""A process on its way through a backlog: when it counted how much, and what that cost it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.processes import Process
from tests.machine import cpu_seconds

SECONDS_AT_MOST: Final = 420
FIRST_LOOK_SECONDS: Final = 0.05
LEAST_LOOK_SECONDS: Final = 0.02


class Sight(NamedTuple):
    """Trades counted by then, the processor seconds that the process had used, and the time."""

    seen: float
    used: float
    at: float


@dataclass(frozen=True)
class Run:
    """What one run was: of ``trades`` between first and last sight. Seconds of processor and of time, RSS in MB.

    The warm ones are of the second half alone, when a JVM has compiled what is hot. ``rate`` is trades a second where
    ``seconds`` are not what these trades took. Memory is None where it is not what was measured.
    """

    trades: float
    cpu: float
    seconds: float
    rss_mb: float | None
    warm_trades: float = 0.0
    warm_cpu: float = 0.0
    warm_seconds: float = 0.0
    rate: float = 0.0


def rss_mb(pid: int) -> float:
    """Return what a process has in memory now, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def watched(process: Process, counted: Callable[[], float], trades: int, look_seconds: float) -> list[Sight]:
    """Return what was seen of a run through the backlog, from the first trade counted to the last.

    What its start costs is left out. Whoever is asked by HTTP is asked seldom, since each answer costs it.
    Raises :class:`TimeoutError` when it ends before, or takes too long.
    """
    sights: list[Sight] = []
    deadline = time.monotonic() + SECONDS_AT_MOST
    while time.monotonic() < deadline and process.running:
        seen = counted()
        if seen:
            sights.append(Sight(seen, cpu_seconds([process.pid]), time.perf_counter()))
        if seen >= trades:
            return sights
        time.sleep(_until_next_look(sights, trades, look_seconds))
    raise TimeoutError(f"{process.name} did not count {trades:,} trades:\n{process.tail()}")


def _until_next_look(sights: list[Sight], trades: int, look_seconds: float) -> float:
    """Return how long to wait, so that the end is seen when it comes."""
    if len(sights) < 2 or sights[-1].seen <= sights[0].seen:
        return FIRST_LOOK_SECONDS
    first, last = sights[0], sights[-1]
    rate = (last.seen - first.seen) / (last.at - first.at)
    return min(look_seconds, max(LEAST_LOOK_SECONDS, (trades - last.seen) / rate))


def run_of(sights: list[Sight], memory_mb: float) -> Run:
    """Return what these sights say. Raises :class:`TimeoutError` where all was counted at first sight."""
    if len(sights) < 2:
        raise TimeoutError("it counted all trades before it could be watched: give it more of them")
    first, last = sights[0], sights[-1]
    half = next(one for one in sights if one.seen >= (first.seen + last.seen) / 2)
    return Run(
        last.seen - first.seen,
        last.used - first.used,
        last.at - first.at,
        memory_mb,
        last.seen - half.seen,
        last.used - half.used,
        last.at - half.at,
    )
