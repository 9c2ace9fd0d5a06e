"""The program and its peers behind one Protocol."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.benchmarks.bench.broker import PARTITIONS, FilledKafka
from tests.benchmarks.bench.feed import Totals
from tests.benchmarks.bench.measured import Run, rss_mb, run_of, watched
from tests.benchmarks.peers import build
from tests.faults.processes import Process, Processes, http_get
from tests.kafka import jars

LIQMON: Final = "liqmon"
# Each answer of /metrics costs a worker milliseconds; a peer writes a line anyway.
LOOK_SECONDS: Final = 0.5
PEER_LOOK_SECONDS: Final = 0.05
TOTALS_SECONDS: Final = 60.0
HOUR: Final = 3600
READY_SECONDS: Final = 600.0
RESTORED: Final = "state RUNNING\n"


class WrongTotals(Exception):
    """A system has counted something other than the trades that it was given."""


class System(Protocol):
    """Something that reads trades from Kafka."""

    name: str
    is_jvm: bool
    restores: bool
    """Whether its start after a loss of its tables is measured."""

    def run(self, kafka: FilledKafka, directory: Path) -> Run:
        """Read all trades of a part; then, in a part that restores, start again with empty tables.

        Raises :class:`WrongTotals`, TimeoutError.
        """


def check(system: str, expected: Totals, found: Totals) -> None:
    """Raise :class:`WrongTotals` where a system's totals are not those that were computed without it."""
    wrong = [symbol for symbol in sorted({*expected, *found}) if expected.get(symbol) != found.get(symbol)]
    if wrong:
        one = wrong[0]
        raise WrongTotals(
            f"{system} has wrong totals of {len(wrong)} markets; {one} has {found.get(one)}, "
            f"(trades, micro-USD) are {expected.get(one)}"
        )


class _Window(msgspec.Struct):
    symbol: str
    count: int
    total_volume_usd: float


class Liqmon:
    """One ``liqmon worker`` as it is run: state to the changelog and RocksDB, offsets committed, rules judged."""

    name = LIQMON
    is_jvm = False
    restores = True

    def run(self, kafka: FilledKafka, directory: Path) -> Run:
        """Read all trades, with a Postgres of its own."""
        with kafka.fresh() as address, EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": address,
                "TOPIC_PARTITIONS": str(PARTITIONS),
                "LIQUIDATION_THRESHOLD_USD": "1e12",
                "MAX_MARKETS_PER_PARTITION": "20000",
                "NEW_MARKETS_PER_MINUTE": "100000",
                **postgres.settings,
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker").start()
                sights = watched(worker, lambda: _counted(worker), kafka.part.trades, LOOK_SECONDS)
                run = run_of(sights, rss_mb(worker.pid))
                _await_totals(worker, kafka.totals)
                if not kafka.part.is_restore:
                    return run
                # Ended as an operator would: all is flushed and committed.
                worker.stop(60)
                restored = processes.worker("restored")
                began = time.monotonic()
                restored.start().wait_ready(READY_SECONDS)
                seconds = time.monotonic() - began
                memory = rss_mb(restored.pid)
                _await_totals(restored, kafka.totals)
                return Run(0, 0, seconds, memory)


def _counted(worker: Process) -> float:
    try:
        return worker.metric("liqmon_trades_total")
    except OSError:
        return 0.0


def _await_totals(worker: Process, expected: Totals) -> None:
    """Check what the worker's API says of an hour, once it has all trades."""
    deadline = time.monotonic() + TOTALS_SECONDS
    while True:
        try:
            check(LIQMON, expected, _totals(worker))
        except (WrongTotals, OSError, msgspec.MsgspecError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _totals(worker: Process) -> Totals:
    _, text = http_get(worker.port, f"/api/windows?window_seconds={HOUR}&scope=local", timeout_seconds=30)
    windows = msgspec.json.decode(text, type=list[_Window])
    return {window.symbol: (window.count, round(window.total_volume_usd * 1e6)) for window in windows}


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


class JavaPeer:
    """A peer in a JVM of its own: ``main`` of a Maven module."""

    is_jvm = True

    def __init__(
        self, name: str, module: str, main: str, *, options: tuple[str, ...] = (), restores: bool = False
    ) -> None:
        self.name = name
        self.module = module
        self.main = main
        self.restores = restores
        self._options = options

    def run(self, kafka: FilledKafka, directory: Path) -> Run:
        """Read all trades."""
        part = kafka.part
        with kafka.fresh() as address, Processes(directory, {}) as processes:

            def prepared(name: str, trades: int) -> Process:
                arguments = (address, kafka.json_topic, str(directory / f"{name}-state"), str(trades))
                return processes.add(name, self._command(arguments))

            peer = prepared(self.name, part.trades).start()
            sights = watched(peer, lambda: _read(peer).counted, part.trades, PEER_LOOK_SECONDS)
            run = run_of(sights, rss_mb(peer.pid))
            self._check(peer, kafka.totals)
            if not part.is_restore:
                return run
            peer.stop(60)
            restored = prepared("restored", 0)
            began = time.monotonic()
            restored.start().wait_for_log(RESTORED, READY_SECONDS)
            seconds = time.monotonic() - began
            memory = rss_mb(restored.pid)
            self._check(restored, kafka.totals)
            return Run(0, 0, seconds, memory)

    def _check(self, peer: Process, totals: Totals) -> None:
        peer.wait_for_log("done\n", TOTALS_SECONDS)
        check(self.name, totals, _read(peer).totals)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        options = (*build.JVM_OPTIONS, *self._options)
        return [jars.java(), *options, "-cp", build.class_path(self.module), self.main, *arguments]


def _read(peer: Process) -> PeerLog:
    return read_log(peer.log_text())


OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time", "java.nio")
)
SYSTEMS: Final[Mapping[str, System]] = {
    system.name: system
    for system in (
        Liqmon(),
        JavaPeer("kafka-streams", "kafka-streams", "peers.KafkaStreamsPeer", restores=True),
        JavaPeer("flink", "flink", "peers.FlinkPeer", options=OPENED),
    )
}
