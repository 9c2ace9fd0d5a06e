"""A peer as a system: a process that says on standard output what it has counted."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.feed import Totals
from tests.benchmarks.bench.measured import Run, rss_mb, run_of, watched
from tests.benchmarks.bench.system import END_SECONDS, HOLD_SECONDS, READY_SECONDS, TOTALS_SECONDS, check
from tests.benchmarks.peers import build, environments
from tests.faults.processes import Process, Processes
from tests.kafka import jars

ROOT: Final = Path(__file__).parents[3]
LOOK_SECONDS: Final = 0.05
RESTORED: Final = "state RUNNING\n"


class PeerLog(NamedTuple):
    """What a peer has said on standard output: trades counted so far, its totals, and whether these are all."""

    counted: int
    totals: Totals
    is_done: bool


def read_log(text: str) -> PeerLog:
    """Read a peer's lines: ``counted N``, ``total SYMBOL TRADES MICRO_USD``, ``done``. Others are its own."""
    counted, totals, is_done = 0, Totals(), False
    whole, _, _ = text.rpartition("\n")
    for line in whole.splitlines():
        match line.split():
            case ["counted", number]:
                counted = int(number)
            case ["total", symbol, trades, micros]:
                totals[symbol] = int(trades), int(micros)
            case ["done"]:
                is_done = True
    return PeerLog(counted, totals, is_done)


class Peer:
    """What all peers have in common; they differ in the command that starts them."""

    is_jvm = False
    restores = False
    share = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self) -> list[str]:
        """Return what starts it, but for the arguments. Raises :class:`PeersUnavailable`."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Build or install it."""
        self.command()

    def count(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades."""
        with self._prepared(kafka, address, directory, kafka.part.trades) as peer:
            peer.start()
            sights = watched(peer, lambda: _read(peer).counted, kafka.part.trades, LOOK_SECONDS)
            run = run_of(sights, rss_mb(peer.pid))
            self._check(peer, kafka.totals)
            peer.stop(END_SECONDS)
        return run

    def hold(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades; what it then has in memory."""
        with self._prepared(kafka, address, directory, kafka.part.trades) as peer:
            began = time.monotonic()
            peer.start()
            self._check(peer, kafka.totals, HOLD_SECONDS)
            return Run(0, 0, time.monotonic() - began, rss_mb(peer.pid))

    def restore(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Start with an empty directory until it runs and has given its totals; what it then has in memory."""
        with self._prepared(kafka, address, directory, 0) as peer:
            began = time.monotonic()
            peer.start().wait_for_log(RESTORED, READY_SECONDS)
            self._check(peer, kafka.totals)
            return Run(0, 0, time.monotonic() - began, rss_mb(peer.pid))

    @contextmanager
    def _prepared(self, kafka: FilledKafka, address: str, directory: Path, trades: int) -> Iterator[Process]:
        arguments = (address, kafka.json_topic, str(directory / "state"), str(trades))
        command = [*self.command(), *arguments]
        with Processes(directory, {"PYTHONPATH": str(ROOT)}) as processes:
            yield processes.add(self.name, command)

    def _check(self, peer: Process, totals: Totals, seconds: float = TOTALS_SECONDS) -> None:
        peer.wait_for_log("done\n", seconds)
        check(self.name, totals, _read(peer).totals)


def _read(peer: Process) -> PeerLog:
    return read_log(peer.log_text())


class JavaPeer(Peer):
    """A peer in a JVM of its own: ``main`` of a Maven module."""

    is_jvm = True

    def __init__(
        self,
        name: str,
        module: str,
        main: str,
        *,
        options: tuple[str, ...] = (),
        restores: bool = False,
        share: float = 1.0,
    ) -> None:
        super().__init__(name)
        self.module = module
        self.main = main
        self.restores = restores
        self.share = share
        self._options = options

    def command(self) -> list[str]:
        """Build it where that was not done yet."""
        return [jars.java(), *build.JVM_OPTIONS, *self._options, "-cp", build.class_path(self.module), self.main]


class PythonPeer(Peer):
    """A peer in Python: a module, with the packages of its own requirements or, without any, the program's."""

    def __init__(self, name: str, module: str, *requirements: str, share: float = 1.0) -> None:
        super().__init__(name)
        self.module = f"tests.benchmarks.peers.python.{module}"
        self.requirements = requirements
        self.share = share

    def command(self) -> list[str]:
        """Make its environment where that was not done yet."""
        python = environments.python(self.requirements) if self.requirements else sys.executable
        return [python, "-m", self.module]
