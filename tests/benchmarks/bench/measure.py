"""Runs of all systems through one part after the other, within the time that there is."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from streams.errors import Fatal
from tests.benchmarks.bench import alone
from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.liqmon import LIQMON
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import Measured, Part
from tests.benchmarks.bench.results import Row, row_of
from tests.benchmarks.bench.system import System, WrongTotals
from tests.benchmarks.peers.build import PeersUnavailable

MILLION: Final = 1e6
SLOW_SHARE: Final = 0.5
"""Systems that are given fewer trades than this share have one round: they are far from all others."""


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(max(0.0, seconds)) // 60}:{int(max(0.0, seconds)) % 60:02}"


class Bench:
    """Measures parts. What failed is said, kept in :attr:`failures`, and left out of the rows.

    No run begins that would not end ``seconds`` after the bench began, as far as runs before it tell. ``fill`` makes
    the Kafka of a part in a directory.
    """

    def __init__(
        self,
        systems: Sequence[System],
        repeats: int,
        *,
        seconds: float = 3600.0,
        fill: Callable[[Path, Part], FilledKafka] = FilledKafka,
        measure_alone: Callable[[Part], Run] = alone.measure,
    ) -> None:
        self._systems = list(systems)
        self._repeats = repeats
        self._fill = fill
        self._measure_alone = measure_alone
        self._began = time.monotonic()
        self.ends = self._began + seconds
        self.failures: list[str] = []

    def prepare(self) -> None:
        """Build and install what systems need; those that cannot be had are left out."""
        for system in list(self._systems):
            began = time.monotonic()
            try:
                system.prepare()
            except PeersUnavailable as error:
                self._failed(f"{system.name}: {error}")
                self._systems.remove(system)
            if (took := time.monotonic() - began) > 1:
                self._say(f"{system.name} is there after {took:.0f} s")

    def rows(self, part: Part, ends: float) -> list[Row]:
        """Return a part's rows: as many rounds as were asked for and fit before ``ends`` (monotonic), at least one.

        In a round each system has its turn, so what else the machine does meets all of them. No round begins when the
        bench's own time is over.
        """
        if time.monotonic() > self.ends:
            self._failed(f"{part.name}: the time was over")
            return []
        if part.measured is Measured.ALONE:
            return self._alone(part, ends)
        systems = [system for system in self._systems if system.restores or part.measured is not Measured.RESTORE]
        runs: dict[str, list[Run]] = {system.name: [] for system in systems}
        took: dict[str, float] = {}
        with tempfile.TemporaryDirectory(prefix="liqmon-bench-") as name:
            directory = Path(name)
            kafkas = {share: self._filled(directory, part, share) for share in sorted({one.share for one in systems})}
            if part.measured is Measured.RESTORE:
                systems = [one for one in systems if self._has_counted(one, kafkas[one.share], directory / "run")]
            for done in range(1, self._repeats + 1):
                for system in list(systems):
                    began = time.monotonic()
                    if began + took.get(system.name, 0.0) > self.ends:
                        if not runs[system.name]:
                            self._failed(f"{part.name}, {system.name}: the time was over")
                        systems.remove(system)
                        continue
                    run = self._run(system, kafkas[system.share], directory / "run")
                    if run is None:
                        systems.remove(system)
                        continue
                    runs[system.name].append(run)
                    took[system.name] = time.monotonic() - began
                    if done == 1 and system.share < SLOW_SHARE:
                        systems.remove(system)
                    left = sum(took.get(one.name, 0.0) for one in systems)
                    self._say_run(part, f"{done} of {self._repeats}", system.name, run, left * (self._repeats - done))
                now, round_seconds = time.monotonic(), sum(took[system.name] for system in systems)
                if done < self._repeats and now + round_seconds > min(ends, self.ends):
                    self._say(f"{part.name}: {done} of {self._repeats} rounds, since time is short")
                    break
        return rows_of(part, self._systems, runs)

    def _alone(self, part: Part, ends: float) -> list[Row]:
        runs: list[Run] = []
        took = 0.0
        while len(runs) < self._repeats and (not runs or time.monotonic() + took < min(ends, self.ends)):
            began = time.monotonic()
            try:
                run = self._measure_alone(part)
            except (Fatal, OSError) as error:
                self._failed(f"{part.name}: {error}")
                break
            runs.append(run)
            took = time.monotonic() - began
            left = took * (self._repeats - len(runs))
            self._say_run(part, f"{len(runs)} of {self._repeats}", LIQMON, run, left)
        return [row_of(part.name, LIQMON, runs)] if runs else []

    def _filled(self, directory: Path, part: Part, share: float) -> FilledKafka:
        began, some = time.monotonic(), part.scaled(share)
        kafka = self._fill(directory / f"share-{share}", some)
        self._say(
            f"{part.name}: {some.trades:,} trades of {part.symbols:,} markets in {time.monotonic() - began:.0f} s"
        )
        return kafka

    def _has_counted(self, system: System, kafka: FilledKafka, directory: Path) -> bool:
        """Let a system count what it is to restore; return whether it did."""
        began = time.monotonic()
        if self._run(system, kafka, directory, _counted) is None:
            return False
        kafka.keep(system.name)
        self._say(f"{kafka.part.name}, {system.name}: counted in {time.monotonic() - began:.0f} s")
        return True

    def _run(
        self,
        system: System,
        kafka: FilledKafka,
        directory: Path,
        run: Callable[[System, FilledKafka, Path], Run] | None = None,
    ) -> Run | None:
        directory.mkdir()
        try:
            return (run or _RUNS[kafka.part.measured])(system, kafka, directory)
        except (WrongTotals, PeersUnavailable, Fatal, OSError) as error:
            self._failed(f"{kafka.part.name}, {system.name}: {error}")
            return None
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _failed(self, text: str) -> None:
        self._say(text)
        # What follows is the end of a log.
        self.failures.append(text.partition("\n")[0])

    def _say_run(self, part: Part, which: str, system: str, run: Run, left: float) -> None:
        cost = f", {MILLION * run.cpu / run.trades:.2f} CPU s a million" if run.trades else ""
        memory = "" if run.rss_mb is None else f", {run.rss_mb:.0f} MB"
        more = f"; {part.name} goes on for {clock(left)}" if left else ""
        self._say(f"{part.name} {which}, {system}: {run.seconds:.2f} s{cost}{memory}{more}")

    def _say(self, text: str) -> None:
        now = time.monotonic()
        say(f"{clock(now - self._began)} of at most {clock(self.ends - self._began)}  {text}")


def _counted(system: System, kafka: FilledKafka, directory: Path) -> Run:
    with kafka.fresh() as address:
        return system.count(kafka, address, directory)


def _held(system: System, kafka: FilledKafka, directory: Path) -> Run:
    with kafka.fresh() as address:
        return system.hold(kafka, address, directory)


def _restored(system: System, kafka: FilledKafka, directory: Path) -> Run:
    """Return a restore of what the system has once counted."""
    with kafka.fresh(system.name) as address:
        return system.restore(kafka, address, directory)


_RUNS: Final = {Measured.COUNTING: _counted, Measured.MEMORY: _held, Measured.RESTORE: _restored}


def rows_of(part: Part, systems: Sequence[System], runs: dict[str, list[Run]]) -> list[Row]:
    """Return the rows of a part in the order of the systems; JVMs have one more, of the second half of their runs."""
    rows = []
    for system in systems:
        if found := runs.get(system.name):
            rows.append(row_of(part.name, system.name, found))
            if system.is_jvm and part.measured is Measured.COUNTING:
                rows.append(row_of(part.name, system.name, found, warm=True))
    return rows
