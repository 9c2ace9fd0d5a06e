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

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import Monitor, SourceMessage, alert_record
from agents.counting.row_batches import RowBatches
from agents.rules.book import rule_book
from streams.kafka.outbound import Outbound
from streams.settings import load_settings
from streams.venues.json_rows import RowReader
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from streams.worker.bundles import MAX_MESSAGES
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.span import Span
from tests.benchmarks.bench import feed
from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.liqmon import Liqmon
from tests.benchmarks.bench.parts import Part
from tests.memory_broker import MemoryBroker, MemoryState


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


async def goes_on() -> None:
    """Nothing ends."""


async def inner(symbols: int, count: int) -> str:
    """Return a line of the table: a monitor handles the rows, as bundles of one partition."""
    settings = load_settings()
    outbound, venues = Outbound(MemoryBroker().send), make_venues(settings)
    span = Span(settings.window_seconds, settings.retention_seconds)
    evaluator = Evaluator(rule_book(settings), window=span.window, cooldown=300, max_future_us=60_000_000)
    state, admission = MemoryState(), Admission(most=symbols, new_per_minute=symbols)
    keeper = Keeper(lambda: state, "changelog", span, outbound, evaluator.settle_all, alert_record, admission=admission)
    monitor = Monitor(evaluator, keeper, outbound, home=lambda _: 0, rows=RowReader(venues))
    batches = RowBatches(monitor, evaluator, keeper, PlainReader(venues), may_go_on=goes_on)
    part = part_of(symbols, count)
    rows = feed.json_messages(part, feed.columns(part))
    messages = [SourceMessage(row, 0, at, time.time()) for at, (_, row) in enumerate(rows)]
    started, used = time.perf_counter(), time.process_time()
    for at in range(0, part.trades, MAX_MESSAGES):
        await batches.handle(messages[at : at + MAX_MESSAGES])
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
