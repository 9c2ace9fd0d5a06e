"""What one JSON row a message costs a worker: ``python -m tests.benchmarks.rows [--symbols N] [--rows N] [--inner]``.

Rows are those of Kraken's WebSocket v2, a thousand a second of event time, of so many markets in turn. Processor
seconds of the worker per million trades are printed. They say more than trades a second on a machine with other work.

A real Kafka is filled, then ``liqmon worker`` reads the backlog to its end, with flushes and commits. With ``--inner``
bundles go to the monitor in this process instead: no broker, no Faust, nothing stored.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from aiokafka import AIOKafkaProducer

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import Monitor, SourceMessage, alert_record
from agents.counting.row_batches import RowBatches
from agents.counting.source_rows import SourceRows
from agents.rules.book import rule_book
from streams.kafka.admin import ensure_topics
from streams.kafka.outbound import Outbound
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from streams.topics import TRADES
from streams.venues.json_rows import RowReader
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from streams.worker.bundles import MAX_MESSAGES
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.span import Span
from tests.faults.processes import Process, Processes
from tests.kafka.server import RealKafka
from tests.memory_broker import MemoryBroker, MemoryState

START_SECONDS = 1_700_000_000
TRADES_PER_SECOND = 1000
SECONDS_AT_MOST = 300
LOOK_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


def rows(symbols: int, count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield (symbol, row) of markets in turn, as a socket would bring them."""
    random = Random(seed)
    for number in range(count):
        market, second = number % symbols, number / TRADES_PER_SECOND
        price = (1 + market % 50) * 100 + random.randrange(1000) / 100
        stamp = datetime.fromtimestamp(START_SECONDS + second, UTC).isoformat(timespec="microseconds")
        symbol = f"M{market}/USD"
        yield (
            symbol,
            f'{{"symbol":"{symbol}","side":"{random.choice(("buy", "sell"))}","price":{price:.2f},'
            f'"qty":{random.randrange(1, 10**8) / 10**8:.8f},"ord_type":"market","trade_id":{number // symbols + 1},'
            f'"timestamp":"{stamp.replace("+00:00", "Z")}"}}'.encode(),
        )


async def publish(address: str, symbols: int, count: int) -> None:
    """Fill the topic."""
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    for symbol, row in rows(symbols, count):
        await producer.send(TRADES, row, key=symbol.encode())
    await producer.stop()


def processor_seconds(process: Process) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def counted(process: Process) -> float:
    """Return how many trades a worker has counted; none while it does not answer."""
    try:
        return process.metric("liqmon_trades_total")
    except OSError:
        return 0.0


def timed(worker: Process, trades: int) -> tuple[float, float, float]:
    """Return (seconds, processor seconds, trades) of a worker's run through the backlog, from the first it has counted.

    What its start costs is left out. It is asked seldom: each answer costs it milliseconds.
    """
    first = started = used = 0.0
    deadline = time.monotonic() + SECONDS_AT_MOST
    while time.monotonic() < deadline and worker.running:
        seen, now = counted(worker), time.perf_counter()
        if seen and not started:
            first, started, used = seen, now, processor_seconds(worker)
        if seen >= trades:
            return now - started, processor_seconds(worker) - used, seen - first
        time.sleep(LOOK_SECONDS if started else LOOK_SECONDS / 10)
    raise TimeoutError(worker.tail())


def measure(symbols: int, count: int) -> str:
    """Return a line of the table: a worker reads the topic."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        directory = Path(name)
        settings = load_settings(kafka_bootstrap_servers=kafka.address)
        asyncio.run(ensure_topics(settings))
        asyncio.run(publish(kafka.address, symbols, count))
        with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "LIQUIDATION_THRESHOLD_USD": "1e12",
                "NEW_MARKETS_PER_MINUTE": "100000",
                **postgres.settings,
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker").start()
                seconds, used, trades = timed(worker, count)
    return f"{symbols:7}  {1e6 * used / trades:24.2f}  {trades / seconds:9,.0f}\n"


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
    messages = [SourceMessage(row, 0, at, time.time()) for at, (_, row) in enumerate(rows(symbols, count))]
    started, used = time.perf_counter(), time.process_time()
    for at in range(0, count, MAX_MESSAGES):
        await batches.handle(SourceRows.of(messages[at : at + MAX_MESSAGES]))
    used, seconds = time.process_time() - used, time.perf_counter() - started
    return f"{symbols:7}  {1e6 * used / count:24.2f}  {count / seconds:9,.0f}\n"


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
        line = asyncio.run(inner(symbols, arguments.rows)) if is_inner else measure(symbols, arguments.rows)
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
