"""What one JSON row a message costs a worker: ``python -m tests.benchmarks.rows [--symbols N] [--rows N] [--inner]``.

Rows are those of Kraken's WebSocket v2, a thousand a second of event time, of so many markets in turn. Processor
seconds of the worker per million trades are printed. They say more than trades a second on a machine with other work.

It is a part of ``make bench`` for the worker alone: a real Kafka is filled, then ``liqmon worker`` reads the backlog to
its end, with flushes and commits, and its totals are checked. With ``--inner`` bundles go to the monitor in this
process instead: no broker, no Faust, nothing stored.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from streams.worker.bundles import MAX_MESSAGES
from tests.benchmarks.bench import feed
from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.liqmon import Liqmon
from tests.benchmarks.bench.parts import Part
from tests.benchmarks.inner import InnerWorker, messages_of


def part_of(symbols: int, count: int) -> Part:
    """Return so many rows, or a few less: the same number of each market. Below an hour of event time all count."""
    return Part(f"rows-{symbols}", symbols, 1, max(1, count // symbols) * symbols, rate=max(1000, count // 3000))


def line(symbols: int, used: float, seconds: float, trades: float) -> str:
    """Return a line of the table."""
    return f"{symbols:7}  {1e6 * used / trades:24.2f}  {trades / seconds:9,.0f}\n"


def measure(symbols: int, count: int) -> str:
    """Return a line of the table: a worker reads the topic."""
    with tempfile.TemporaryDirectory() as name:
        kafka = FilledKafka(Path(name), part_of(symbols, count))
        (directory := Path(name) / "run").mkdir()
        with kafka.fresh() as address:
            run = Liqmon().count(kafka, address, directory)
    return line(symbols, run.cpu, run.seconds, run.trades)


async def inner(symbols: int, count: int) -> str:
    """Return a line of the table: a monitor handles the rows, as bundles of one partition."""
    worker = InnerWorker()
    part = part_of(symbols, count)
    rows = feed.json_messages(part, feed.columns(part))
    messages = messages_of([row for _, row in rows])
    started, used = time.perf_counter(), time.process_time()
    for at in range(0, part.trades, MAX_MESSAGES):
        await worker.handle(messages[at : at + MAX_MESSAGES])
    used, seconds = time.process_time() - used, time.perf_counter() - started
    return line(symbols, used, seconds, part.trades)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, action="append")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--inner", action="store_true")
    arguments = parser.parse_args()
    sys.stdout.write("symbols  CPU s a million trades  trades/s\n")
    for symbols in arguments.symbols or (10, 1000):
        is_inner = arguments.inner
        row = asyncio.run(inner(symbols, arguments.rows)) if is_inner else measure(symbols, arguments.rows)
        sys.stdout.write(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
