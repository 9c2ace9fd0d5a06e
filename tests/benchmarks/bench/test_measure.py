"""Rounds end in time, and a system that fails leaves the others alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.measure import Bench
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import Measured, Part
from tests.benchmarks.bench.results import Result, Row
from tests.benchmarks.bench.system import WrongTotals
from tests.benchmarks.peers.build import PeersUnavailable

PART = Part("rows-2", 2, 1, 100)
RESTORE = Part("restore-2", 2, 1, 100, measured=Measured.RESTORE)
MEMORY = Part("memory-2", 2, 1, 100, measured=Measured.MEMORY)
ALONE = Part("latency-2", 2, 1, 100, measured=Measured.ALONE)


class Made:
    """A system that answers at once, or is wrong."""

    restores = True

    def __init__(
        self, name: str, *, is_jvm: bool = False, is_wrong: bool = False, is_missing: bool = False, share: float = 1.0
    ) -> None:
        self.name = name
        self.is_jvm = is_jvm
        self.runs = 0
        self.share = share
        self._is_wrong = is_wrong
        self._is_missing = is_missing

    def prepare(self) -> None:
        """Be there, or not."""
        if self._is_missing:
            raise PeersUnavailable("Maven is not installed")

    def hold(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Say what is in memory."""
        (directory / kafka.part.name).write_text(address)
        return Run(0, 0, 2, 50)

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


def bench_of(systems: list[Made], repeats: int, *, seconds: float = 3600.0) -> Bench:
    """Return a bench without a broker."""
    return Bench(systems, repeats, seconds=seconds, fill=Filled, measure_alone=lambda _: Run(10, 1, 0.02, None, rate=5))


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


def test_nothing_begins_when_the_time_is_over() -> None:
    """Rows that were measured before stay, and what was left out is said."""
    bench = bench_of([Made("liqmon")], 3, seconds=-1)
    assert bench.rows(PART, time.monotonic() + 3600) == []
    assert bench.failures == ["rows-2: the time was over"]


def test_a_system_of_few_trades_has_one_round() -> None:
    """It is far from all others, and takes long."""
    bench = bench_of([Made("liqmon"), Made("faust", share=0.05)], 3)
    assert names(bench.rows(PART, time.monotonic() + 3600)) == [("liqmon", 3), ("faust", 1)]


def test_a_peer_that_cannot_be_built_is_left_out_and_said() -> None:
    """Before anything is measured."""
    bench = bench_of([Made("liqmon"), Made("flink", is_jvm=True, is_missing=True)], 1)
    bench.prepare()
    assert names(bench.rows(PART, time.monotonic() + 3600)) == [("liqmon", 1)]
    assert bench.failures == ["flink: Maven is not installed"]


def test_memory_has_neither_rate_nor_cost() -> None:
    """It is all that is measured, besides how long it took to get there."""
    (row,) = bench_of([Made("liqmon", is_jvm=True)], 1).rows(MEMORY, time.monotonic() + 3600)
    assert row.result == Result("memory-2", "liqmon", None, None, 50, 2)


def test_what_no_peer_does_is_measured_without_them() -> None:
    """Nor does it need their Kafka."""
    (row,) = bench_of([Made("flink", is_jvm=True)], 2).rows(ALONE, time.monotonic() + 3600)
    assert (row.result, row.runs) == (Result("latency-2", "liqmon", 5, 100_000.0, None, 0.02), 2)
