"""Rounds end in time, and a system that fails leaves the others alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.measure import Bench
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import Part
from tests.benchmarks.bench.results import Row
from tests.benchmarks.bench.system import WrongTotals

PART = Part("rows-2", 2, 1, 100)
RESTORE = Part("restore-2", 2, 1, 100, is_restore=True)


class Made:
    """A system that answers at once, or is wrong."""

    restores = True
    share = 1.0

    def __init__(self, name: str, *, is_jvm: bool = False, is_wrong: bool = False) -> None:
        self.name = name
        self.is_jvm = is_jvm
        self.runs = 0
        self._is_wrong = is_wrong

    def count(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Take no time."""
        self.runs += 1
        if self._is_wrong:
            raise WrongTotals(f"{self.name} is wrong")
        (directory / kafka.part.name).write_text(address)
        return Run(100, 1, 2, 3, 50, 0.25, 1)

    def restore(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Say on what."""
        assert address == self.name
        (directory / kafka.part.name).write_text(address)
        return Run(0, 0, 2, 3)


class Filled(FilledKafka):
    """Holds nothing: systems here ask for nothing. Its address says what it was started from."""

    def __init__(self, _: Path, part: Part) -> None:
        self.part = part
        self.kept: list[str] = []

    @contextmanager
    def fresh(self, kept: str = "messages") -> Iterator[str]:
        """Start nothing."""
        yield kept

    def keep(self, name: str) -> None:
        """Keep the name."""
        self.kept.append(name)

    def has_kept(self, name: str) -> bool:
        """Whether that was so."""
        return name in self.kept


def bench_of(systems: list[Made], repeats: int) -> Bench:
    """Return a bench without a broker."""
    return Bench(systems, repeats, fill=Filled)


def names(rows: list[Row]) -> list[tuple[str, int]]:
    """Return (system, runs) of each row."""
    return [(row.result.system, row.runs) for row in rows]


def test_every_system_has_its_turns() -> None:
    """JVMs have a second row, of what they did warm."""
    bench = bench_of([Made("liqmon"), Made("flink", is_jvm=True)], 3)
    rows = bench.rows(PART, time.monotonic() + 3600)
    assert names(rows) == [("liqmon", 3), ("flink", 3), ("flink-warm", 3)]


def test_one_round_is_made_however_short_the_time() -> None:
    """So each part has figures."""
    assert names(bench_of([Made("liqmon")], 3).rows(PART, time.monotonic() - 1)) == [("liqmon", 1)]


def test_a_system_that_fails_is_said_and_not_tried_again() -> None:
    """The others go on."""
    wrong = Made("quix", is_wrong=True)
    bench = bench_of([wrong, Made("liqmon")], 3)
    assert names(bench.rows(PART, time.monotonic() + 3600)) == [("liqmon", 3)]
    assert (wrong.runs, bench.failures) == (1, ["rows-2, quix: quix is wrong"])


def test_what_cannot_restore_is_left_out_of_a_restore() -> None:
    """It has no row there."""
    flink = Made("flink", is_jvm=True)
    flink.restores = False
    assert bench_of([flink], 3).rows(RESTORE, time.monotonic() + 3600) == []


def test_trades_are_counted_once_and_restored_in_every_round() -> None:
    """From what the system itself had left in Kafka. A JVM has no second half of it."""
    system = Made("kafka-streams", is_jvm=True)
    rows = bench_of([system], 3).rows(RESTORE, time.monotonic() + 3600)
    assert (names(rows), system.runs) == ([("kafka-streams", 3)], 1)
