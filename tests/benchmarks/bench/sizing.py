"""What deployments need, computed from what was measured."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final, NamedTuple

from tests.benchmarks.bench.liqmon import LIQMON
from tests.benchmarks.bench.results import Result, Row

KILOBYTE: Final = 1e-3
"""In MB."""

FREE_SHARE: Final = 0.5
"""How much of a core stays free at the peak: for flushes, takeovers and what was not foreseen."""

FULL_MARKETS: Final = 1000
SILENT: Final = (10, 10_000)


class Deployment(NamedTuple):
    """What is to be watched: markets, those of them that trade every second, and trades a second at the peak."""

    name: str
    markets: int
    full: int
    peak: int


DEPLOYMENTS: Final = (
    Deployment("all of Kraken", 1500, 150, 5000),
    Deployment("ten such venues", 15_000, 1500, 50_000),
)


class Measures(NamedTuple):
    """What the arithmetic takes from the table: memory in MB, processor seconds a million trades, seconds."""

    base: float
    full: float
    silent: float
    dearest: float
    cheapest: float
    restore: float | None


def measures_of(rows: Iterable[Row]) -> Measures | None:
    """Return what a table says of the program; None where a part that is needed was not measured."""
    found = {row.result.name: row.result for row in rows if row.result.system == LIQMON}
    few, many, full = (
        found.get(f"memory-{name}") for name in (f"silent-{SILENT[0]}", f"silent-{SILENT[1]}", "full-1000")
    )
    memory = [_memory(one) for one in (few, many, full)]
    costs = [_cost(found.get(name)) for name in ("rows-1000", "frames-20")]
    if None in memory or None in costs:
        return None
    base, silent, loaded = (figure or 0.0 for figure in memory)
    restore = found.get("restore-1000")
    return Measures(
        base,
        (loaded - base) / FULL_MARKETS,
        max(0.0, silent - base) / (SILENT[1] - SILENT[0]),
        max(cost or 0.0 for cost in costs),
        min(cost or 0.0 for cost in costs),
        None if restore is None else restore.seconds,
    )


def _memory(result: Result | None) -> float | None:
    return None if result is None else result.rss_mb


def _cost(result: Result | None) -> float | None:
    return None if result is None else result.cpu_seconds_per_million


def workers(deployment: Deployment, cost: float) -> int:
    """Return how many workers, of one core each, a peak needs at a cost a million trades."""
    return max(1, ceil(deployment.peak * cost / 1e6 / (1 - FREE_SHARE)))


def as_lines(rows: Sequence[Row]) -> list[str]:
    """Return the chapter on deployments in Markdown, none where figures are missing."""
    measured = measures_of(rows)
    if measured is None:
        return []
    lines = [
        "## What deployments need",
        "",
        f"A worker takes {measured.base:,.0f} MB, {measured.full / KILOBYTE:,.0f} kB for a market that traded in every "
        f"second of an hour, and {measured.silent / KILOBYTE:,.1f} kB for a silent one.",
        f"A million trades take {measured.cheapest:.1f} s (frames-20) to {measured.dearest:.1f} s (rows-1000) of "
        f"processor time. Workers have {FREE_SHARE:.0%} of a core free at the peak.",
        "",
        "| deployment | markets | of them full | trades/s at the peak | workers | MB of each | takeover of one, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in DEPLOYMENTS:
        few, most = workers(one, measured.cheapest), workers(one, measured.dearest)
        memory = measured.base + (one.full * measured.full + (one.markets - one.full) * measured.silent) / most
        restore = "-"
        if measured.restore is not None:
            restore = f"{measured.restore * one.full / most / FULL_MARKETS:,.1f}"
        count = f"{few} to {most}" if few != most else f"{most}"
        cells = (one.name, f"{one.markets:,}", f"{one.full:,}", f"{one.peak:,}", count, f"{memory:,.0f}", restore)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", "Memory and takeover are those of the larger number of workers."]
