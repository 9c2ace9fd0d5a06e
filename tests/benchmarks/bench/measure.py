"""Runs of all systems through one part after the other, within the time that there is."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from streams.errors import Fatal
from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import Part
from tests.benchmarks.bench.results import Row, row_of
from tests.benchmarks.bench.system import System, WrongTotals
from tests.benchmarks.peers.build import PeersUnavailable

MILLION = 1e6


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Bench:
    """Measures parts. What failed is said, kept in :attr:`failures`, and left out of the rows.

    ``fill`` makes the Kafka of a part in a directory.
    """

    def __init__(
        self, systems: Sequence[System], repeats: int, *, fill: Callable[[Path, Part], FilledKafka] = FilledKafka
    ) -> None:
        self._systems = systems
        self._repeats = repeats
        self._fill = fill
        self.failures: list[str] = []

    def rows(self, part: Part, ends: float) -> list[Row]:
        """Return a part's rows: as many rounds as were asked for and fit before ``ends`` (monotonic), at least one.

        In a round each system has its turn, so what else the machine does meets all of them.
        """
        systems = [system for system in self._systems if system.restores or not part.is_restore]
        runs: dict[str, list[Run]] = {system.name: [] for system in systems}
        with tempfile.TemporaryDirectory(prefix="liqmon-bench-") as name:
            directory = Path(name)
            kafkas = {share: self._filled(directory, part, share) for share in sorted({one.share for one in systems})}
            for done in range(1, self._repeats + 1):
                began = time.monotonic()
                for system in list(systems):
                    run = self._run(system, kafkas[system.share], directory / "run")
                    if run is None:
                        systems.remove(system)
                    else:
                        runs[system.name].append(run)
                now = time.monotonic()
                if done < self._repeats and now + (now - began) > ends:
                    say(f"{part.name}: {done} of {self._repeats} rounds, since time is short")
                    break
        return rows_of(part, self._systems, runs)

    def _filled(self, directory: Path, part: Part, share: float) -> FilledKafka:
        began, some = time.monotonic(), part.scaled(share)
        kafka = self._fill(directory / f"share-{share}", some)
        say(f"{part.name}: {some.trades:,} trades of {part.symbols:,} markets in {time.monotonic() - began:.0f} s")
        return kafka

    def _run(self, system: System, kafka: FilledKafka, directory: Path) -> Run | None:
        directory.mkdir()
        try:
            run = (_restored if kafka.part.is_restore else _counted)(system, kafka, directory)
        except (WrongTotals, PeersUnavailable, Fatal, OSError) as error:
            said = f"{kafka.part.name}, {system.name}: {error}"
            say(said)
            # What follows is the end of its log.
            self.failures.append(said.partition("\n")[0])
            return None
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        cost = f", {MILLION * run.cpu / run.trades:.2f} CPU s a million" if run.trades else ""
        say(f"  {system.name}: {run.seconds:.1f} s{cost}, {run.rss_mb:.0f} MB")
        return run


def _counted(system: System, kafka: FilledKafka, directory: Path) -> Run:
    with kafka.fresh() as address:
        return system.count(kafka, address, directory)


def _restored(system: System, kafka: FilledKafka, directory: Path) -> Run:
    """Return a restore of what the system has once counted."""
    if not kafka.has_kept(system.name):
        (before := directory / "before").mkdir()
        with kafka.fresh() as address:
            system.count(kafka, address, before)
        kafka.keep(system.name)
    with kafka.fresh(system.name) as address:
        return system.restore(kafka, address, directory)


def rows_of(part: Part, systems: Sequence[System], runs: dict[str, list[Run]]) -> list[Row]:
    """Return the rows of a part in the order of the systems; JVMs have one more, of the second half of their runs."""
    rows = []
    for system in systems:
        if found := runs.get(system.name):
            rows.append(row_of(part.name, system.name, found))
            if system.is_jvm and not part.is_restore:
                rows.append(row_of(part.name, system.name, found, warm=True))
    return rows
