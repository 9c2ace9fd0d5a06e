"""Results of runs: medians and spread, as JSON and as a Markdown table."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

from tests.benchmarks.bench.measured import Run

MILLION: Final = 1e6
WARM: Final = "-warm"
"""Ends the name of a system whose second half alone is meant."""


class Result(msgspec.Struct, frozen=True):
    """Medians of a system's runs of one part; null where it is not what the part measures. Memory after the run."""

    name: str
    system: str
    trades_per_second: float | None
    cpu_seconds_per_million: float | None
    rss_mb: float | None
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """A result with the least and the most of its runs, in the order of its figures."""

    result: Result
    runs: int
    spread: tuple[tuple[float, float] | None, ...]


def row_of(name: str, system: str, runs: Sequence[Run], *, warm: bool = False) -> Row:
    """Return medians and spread of runs; ``warm`` takes their second halves."""
    trades: Callable[[Run], float] = (lambda run: run.warm_trades) if warm else (lambda run: run.trades)
    cpu: Callable[[Run], float] = (lambda run: run.warm_cpu) if warm else (lambda run: run.cpu)
    seconds = [run.warm_seconds if warm else run.seconds for run in runs]
    rates = [run.rate or trades(run) / took for run, took in zip(runs, seconds, strict=True) if took and trades(run)]
    costs = [MILLION * cpu(run) / trades(run) for run in runs if trades(run)]
    memory = [run.rss_mb for run in runs if run.rss_mb is not None]
    figures = (rates, costs, memory, seconds)
    result = Result(
        name,
        f"{system}{WARM}" if warm else system,
        round(median(rates)) if rates else None,
        round(median(costs), 2) if costs else None,
        round(median(memory)) if memory else None,
        round(median(seconds), 3),
    )
    return Row(result, len(runs), tuple((min(each), max(each)) if each else None for each in figures))


def as_json(rows: Iterable[Row]) -> bytes:
    """Return the list of results, a line each."""
    lines = ",\n".join(msgspec.json.encode(row.result).decode() for row in rows)
    return f"[\n{lines}\n]\n".encode()


def _cell(value: float | None, spread: tuple[float, float] | None, form: str) -> str:
    if value is None or spread is None:
        return "-"
    low, high = (format(bound, form) for bound in spread)
    return f"{value:{form}} ({low} to {high})" if low != high else f"{value:{form}}"


def as_markdown(rows: Iterable[Row], facts: Sequence[str]) -> str:
    """Return the table, medians with least and most, under what is known of the machine."""
    lines = [
        "# What was measured",
        "",
        "`make bench` writes this page. [Performance](performance.md) says what it means.",
        "",
        *(f"- {fact}" for fact in facts),
        "",
        "| work | system | CPU s per million trades | trades/s | RSS, MB | seconds | runs |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        result, (rate, cost, memory, seconds) = row.result, row.spread
        cells = (
            result.name,
            result.system,
            _cell(result.cpu_seconds_per_million, cost, ".2f"),
            _cell(result.trades_per_second, rate, ",.0f"),
            _cell(result.rss_mb, memory, ",.0f"),
            _cell(result.seconds, seconds, ".2f" if result.seconds >= 1 else ".3f"),
            str(row.runs),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
