"""Deployments are computed from the table, and not at all from half of one."""

from tests.benchmarks.bench.results import Result, Row
from tests.benchmarks.bench.sizing import Deployment, as_lines, measures_of, workers


def row(name: str, *, cost: float | None = None, memory: float = 0, seconds: float = 1) -> Row:
    """Return a row of the program."""
    return Row(Result(name, "liqmon", None, cost, memory, seconds), 1, (None, None, None, None))


ROWS = [
    row("rows-1000", cost=12),
    row("frames-20", cost=3),
    row("memory-silent-10", memory=100),
    row("memory-silent-10000", memory=149.95),
    row("memory-full-1000", memory=400),
    row("restore-1000", seconds=5),
]


def test_a_market_costs_what_more_of_them_take() -> None:
    """The worker itself is left out of it."""
    measured = measures_of(ROWS)
    assert measured is not None
    assert (measured.base, measured.full, round(measured.silent, 6)) == (100, 0.3, 0.005)


def test_workers_keep_half_a_core_free_at_the_peak() -> None:
    """50 000 trades a second at 12 s a million are 0.6 of a core."""
    assert [workers(Deployment("many", 1, 1, 50_000), cost) for cost in (12, 3)] == [2, 1]


def test_the_chapter_names_both_deployments() -> None:
    """Ten venues share the larger number of workers."""
    assert as_lines(ROWS)[-3] == "| ten such venues | 15,000 | 1,500 | 50,000 | 1 to 2 | 359 | 3.8 |"


def test_without_all_figures_there_is_no_chapter() -> None:
    """It would be wrong."""
    assert as_lines(ROWS[1:]) == []
