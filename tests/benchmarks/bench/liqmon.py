"""The program as a system: one worker, its broker, its Postgres."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.benchmarks.bench.broker import PARTITIONS, FilledKafka
from tests.benchmarks.bench.feed import Totals
from tests.benchmarks.bench.measured import Run, rss_mb, run_of, watched
from tests.benchmarks.bench.system import (
    END_SECONDS,
    HOLD_SECONDS,
    READY_SECONDS,
    TOTALS_SECONDS,
    WrongTotals,
    check,
)
from tests.faults.processes import Process, Processes, http_get, wait_until

LIQMON: Final = "liqmon"
# Each answer of /metrics costs a worker milliseconds.
LOOK_SECONDS: Final = 0.5
HOUR: Final = 3600


class _Window(msgspec.Struct):
    symbol: str
    count: int
    total_volume_usd: float


class Liqmon:
    """One ``liqmon worker`` as it is run: state to the changelog and RocksDB, offsets committed, rules judged."""

    name = LIQMON
    is_jvm = False
    restores = True
    share = 1.0

    def count(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades."""
        with servers(address, directory) as processes:
            worker = processes.worker("worker").start()
            wait_until(lambda: _counted(worker) > 0 or not worker.running, READY_SECONDS, "the first trades")
            self.counting(worker)
            sights = watched(worker, lambda: _counted(worker), kafka.part.trades, LOOK_SECONDS)
            run = run_of(sights, rss_mb(worker.pid))
            self.counted()
            await_totals((worker.port,), kafka.totals)
            # Ended as an operator would: all is flushed and committed.
            worker.stop(END_SECONDS)
        return run

    def counting(self, worker: Process) -> None:
        """Do what is to be done when it has begun to count; here nothing."""

    def counted(self) -> None:
        """Do what is to be done when it has counted all; here nothing."""

    def prepare(self) -> None:
        """It is installed."""

    def hold(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades; what it then has in memory."""
        with servers(address, directory) as processes:
            worker = processes.worker("worker")
            began = time.monotonic()
            worker.start().wait_ready(READY_SECONDS)
            await_totals((worker.port,), kafka.totals, HOLD_SECONDS)
            return Run(0, 0, time.monotonic() - began, rss_mb(worker.pid))

    def restore(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Start with empty tables until ``/readyz`` says so and an answer is complete; what it then has in memory."""
        with servers(address, directory) as processes:
            worker = processes.worker("worker")
            began = time.monotonic()
            worker.start().wait_ready(READY_SECONDS)
            await_totals((worker.port,), kafka.totals)
            return Run(0, 0, time.monotonic() - began, rss_mb(worker.pid))


@contextmanager
def servers(address: str, directory: Path) -> Iterator[Processes]:
    """Give processes that use a Kafka, and a Postgres of their own."""
    with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": address,
            "TOPIC_PARTITIONS": str(PARTITIONS),
            "LIQUIDATION_THRESHOLD_USD": "1e12",
            "MAX_MARKETS_PER_PARTITION": "20000",
            "NEW_MARKETS_PER_MINUTE": "100000",
            **postgres.settings,
        }
        with Processes(directory, environment) as processes:
            yield processes


def _counted(worker: Process) -> float:
    try:
        return worker.metric("liqmon_trades_total")
    except OSError:
        return 0.0


def await_totals(ports: Sequence[int], expected: Totals, seconds: float = TOTALS_SECONDS) -> None:
    """Wait until the workers at these ports have the totals of an hour between them.

    Raises :class:`WrongTotals` and what else the last answer was where they do not get there in time.
    """
    wrong: Exception = WrongTotals("nobody answered")

    def are_there() -> bool:
        nonlocal wrong
        found: Totals = {}
        try:
            for port in ports:
                found |= totals_at(port)
            check(LIQMON, expected, found)
        except (WrongTotals, OSError, msgspec.MsgspecError) as error:
            wrong = error
            return False
        return True

    try:
        wait_until(are_there, seconds, "the totals", poll_seconds=LOOK_SECONDS)
    except TimeoutError:
        raise wrong from None


def totals_at(port: int) -> Totals:
    """Return what the worker at a port says of an hour of its markets. Raises OSError where it does not answer."""
    _, text = http_get(port, f"/api/windows?window_seconds={HOUR}&scope=local", timeout_seconds=30)
    windows = msgspec.json.decode(text, type=list[_Window])
    return {window.symbol: (window.count, round(window.total_volume_usd * 1e6)) for window in windows}
