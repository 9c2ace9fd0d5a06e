"""Results are medians with their spread, as JSON that has one shape and as a table."""

import jsonschema
import msgspec
import pytest

from tests.benchmarks.bench.measured import Run, Sight, run_of
from tests.benchmarks.bench.results import Result, as_json, as_markdown, row_of

RUNS = [
    Run(1000, 0.004, 0.5, 100.4, 400, 0.001, 0.1),
    Run(1000, 0.002, 0.25, 90, 400, 0.002, 0.2),
    Run(1000, 0.003, 1.0, 300, 400, 0.003, 0.4),
]
RESTORE = [Run(0, 0, seconds, 400) for seconds in (5, 4)]
NUMBER = {"type": "number", "minimum": 0}
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "system": {"type": "string"},
            "trades_per_second": {"anyOf": [NUMBER, {"type": "null"}]},
            "cpu_seconds_per_million": {"anyOf": [NUMBER, {"type": "null"}]},
            "rss_mb": {"anyOf": [NUMBER, {"type": "null"}]},
            "seconds": NUMBER,
        },
        "required": ["name", "system", "trades_per_second", "cpu_seconds_per_million", "rss_mb", "seconds"],
        "additionalProperties": False,
    },
}


def test_a_result_holds_the_medians_of_its_runs() -> None:
    """Each figure has its own median."""
    assert row_of("rows-10", "liqmon", RUNS).result == Result("rows-10", "liqmon", 2000, 3.0, 100, 0.5)


def test_the_second_halves_are_a_system_of_their_own() -> None:
    """Under a name that ends so."""
    warm = row_of("rows-10", "flink", RUNS, warm=True).result
    assert warm == Result("rows-10", "flink-warm", 2000, 5.0, 100, 0.2)


def test_the_json_has_one_shape() -> None:
    """A restore has neither a rate nor a cost a trade."""
    rows = [row_of("rows-10", "liqmon", RUNS), row_of("restore-1000", "liqmon", RESTORE)]
    found = msgspec.json.decode(as_json(rows))
    jsonschema.validate(found, SCHEMA)
    assert [(one["name"], one["trades_per_second"], one["seconds"]) for one in found] == [
        ("rows-10", 2000, 0.5),
        ("restore-1000", None, 4.5),
    ]
    assert msgspec.json.decode(as_json([])) == []


def test_the_table_shows_medians_and_spread() -> None:
    """Where all runs are alike there is no spread, and what is not measured is a dash."""
    rows = [row_of("rows-10", "liqmon", RUNS), row_of("restore-1000", "liqmon", RESTORE)]
    lines = as_markdown(rows, ["Machine: small."]).splitlines()
    assert "- Machine: small." in lines
    figures = "3.00 (2.00 to 4.00) | 2,000 (1,000 to 4,000) | 100 (90 to 300) | 0.500 (0.250 to 1.000)"
    assert lines[-2:] == [
        f"| rows-10 | liqmon | {figures} | 3 |",
        "| restore-1000 | liqmon | - | - | 400 | 4.50 (4.00 to 5.00) | 2 |",
    ]


def test_a_run_leaves_the_start_out_and_knows_its_second_half() -> None:
    """From the first trade that was seen to the last; half of those counted between is half of the run."""
    sights = [Sight(100, 3.0, 10.0), Sight(500, 4.0, 11.0), Sight(700, 4.5, 12.0), Sight(1100, 5.0, 14.0)]
    run = run_of(sights, 80)
    assert run == Run(1000, 2.0, 4.0, 80, 400, 0.5, 2.0)


def test_a_run_that_is_seen_once_only_is_refused() -> None:
    """Its cost is not known, and must not be taken for nothing."""
    with pytest.raises(TimeoutError, match="before it could be watched"):
        run_of([Sight(1000, 3.0, 10.0)], 80)
