"""Throughput of one ``liqmon worker``: ``python -m tests.benchmarks.worker [frame sizes]``.

A real Kafka is filled with frames of many markets, since the embedded broker has no room for a backlog. Then a worker
is started and timed from its first counted trade to its last. Trades are fetched, decoded, counted and judged, state is
flushed to the changelog and to RocksDB, and offsets are committed.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from streams.kafka.admin import ensure_topics
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.model.frames import decode_frame
from streams.settings import load_settings
from streams.topics import TRADES
from tests.benchmarks.fold import frames
from tests.faults.processes import Process, Processes
from tests.kafka.server import RealKafka

MARKETS = 40
TRADES_PER_MARKET_SECOND = 100
SECONDS_AT_MOST = 300


async def publish(address: str, size: int, count: int) -> int:
    """Fill the topic; return how many trades it holds."""
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    per_market = max(1, count // MARKETS)
    for value in frames("M/USD", size, per_market, TRADES_PER_MARKET_SECOND):
        frame = decode_frame(value)
        for market in range(MARKETS):
            symbol = f"M{market}/USD"
            renamed = msgspec.structs.replace(frame, symbol=symbol)
            await producer.send(TRADES, msgspec.msgpack.encode(renamed), key=symbol.encode())
    await producer.stop()
    return per_market * MARKETS * size


def timed(worker: Process, trades: int) -> tuple[float, float]:
    """Return (seconds, trades counted after the first sight) of the worker's run through the backlog."""
    first = started = 0.0
    deadline = time.monotonic() + SECONDS_AT_MOST
    while time.monotonic() < deadline:
        try:
            seen = worker.metric("liqmon_trades_total")
        except OSError:
            seen = 0.0
        now = time.perf_counter()
        if seen and not started:
            first, started = seen, now
        if seen >= trades:
            return now - started, seen - first
        time.sleep(0.05)
    raise TimeoutError(worker.tail())


def measure(size: int, count: int) -> str:
    """Return a line of the table."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        directory = Path(name)
        settings = load_settings(kafka_bootstrap_servers=kafka.address)
        asyncio.run(ensure_topics(settings))
        trades = asyncio.run(publish(kafka.address, size, count))
        with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "MAX_FUTURE_SECONDS": "100000000",
                "LIQUIDATION_THRESHOLD_USD": "1e12",
                **postgres.settings,
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker").start()
                seconds, counted = timed(worker, trades)
    return f"{size:5}  {counted / seconds:12,.0f}  {counted / size / seconds:10,.0f}\n"


def main(sizes: Sequence[int]) -> None:
    """Print the table."""
    sys.stdout.write("frame      trades/s    frames/s\n")
    for size in sizes:
        sys.stdout.write(measure(size, {1000: 12_000, 20: 60_000}.get(size, 60_000)))
        sys.stdout.flush()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [1000, 20, 1])
