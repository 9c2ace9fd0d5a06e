"""What several processes count: ``python -m tests.benchmarks.processes [--part rows-1000] [--scale 1] [1 2 ...]``.

A real Kafka is filled with the messages of a part of ``make bench``. Then ``liqmon worker --processes N`` reads them,
with flushes and commits. It is timed from the moment at which each member has counted something to the last trade, so
the way into the group is left out. All windows of an hour are compared with what was computed without the program.

Broker, Postgres and this program run on the same machine. ``cores`` says how many the workers had of it on average.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.liqmon import await_totals, servers
from tests.benchmarks.bench.measured import Sight
from tests.benchmarks.bench.parts import BY_NAME, PARTS, Measured
from tests.benchmarks.bench.system import END_SECONDS
from tests.faults.processes import http_get, sum_of_samples, wait_until
from tests.machine import below, cpu_seconds
from tests.members import Members

SECONDS_AT_MOST = 600
LOOK_SECONDS = 0.25


def counted(port: int) -> float:
    """Return what a member has counted; 0 while it does not answer."""
    try:
        return sum_of_samples(http_get(port, "/metrics")[1], "liqmon_trades_total", {})
    except OSError:
        return 0.0


def watched(members: Members, trades: int) -> tuple[Sight, Sight]:
    """Return what was seen first, when each member was at work, and last."""
    sights: list[Sight] = []

    def are_counted() -> bool:
        seen = [counted(port) for port in members.ports]
        pids = [members.process.pid, *below(members.process.pid)]
        sight = Sight(sum(seen), cpu_seconds(pids), time.perf_counter())
        if all(seen) or sights:
            sights.append(sight)
        return not members.process.running or (bool(sights) and sight.seen >= trades)

    wait_until(are_counted, SECONDS_AT_MOST, f"{trades:,} counted trades", poll_seconds=LOOK_SECONDS)
    if not members.process.running:
        raise TimeoutError(f"{trades:,} trades were not counted:\n{members.process.tail()}")
    return sights[0], sights[-1]


def measure(kafka: FilledKafka, count: int, directory: Path) -> str:
    """Return a line of the table."""
    with kafka.fresh() as address, servers(address, directory) as processes:
        members = Members(processes, count)
        members.process.start()
        first, last = watched(members, kafka.part.trades)
        await_totals(members.ports, kafka.totals)
        members.process.stop(END_SECONDS)
    trades, used, seconds = last.seen - first.seen, last.used - first.used, last.at - first.at
    return f"{count:9}  {trades / seconds:9,.0f}  {1e6 * used / trades:24.2f}  {used / seconds:5.2f}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--part", choices=[one.name for one in PARTS if one.measured is Measured.COUNTING])
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    part = BY_NAME[options.part or "rows-1000"].scaled(options.scale)
    with tempfile.TemporaryDirectory(prefix="liqmon-processes-") as name:
        kafka = FilledKafka(Path(name) / "filled", part)
        sys.stdout.write(f"{part.name}, {part.trades:,} trades\n")
        sys.stdout.write("processes   trades/s  CPU s a million trades  cores\n")
        for count in options.counts:
            sys.stdout.write(measure(kafka, count, Path(name) / f"run-{count}"))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
