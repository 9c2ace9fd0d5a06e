"""Two days of a changelog on a real Kafka: ``python -m tests.benchmarks.changelog [hours] [markets]``.

Writes what a worker flushes each second for so many markets in each of which three trades happen each second, with the
record times of the last ``hours``. Kafka compacts meanwhile. Then it prints what lies on its disk, and how long a new
worker takes to restore it and be ready. Trades are folded by the program; frames and the topic of trades are left out.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from aiokafka import AIOKafkaProducer

from streams.kafka.admin import CHANGELOG_CONFIG, ensure_topics
from streams.kafka.partitioning import partition_of
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from streams.topics import APP_ID
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.items import taken_from
from tests.faults.processes import Processes
from tests.kafka import RealKafka

CHANGELOG = f"{APP_ID}-panes-changelog"
PARTITIONS = 4
TRADES_A_SECOND = 3
MEGABYTE = 1_000_000
SPAN = Span(window=300, retention=4200)
# Kafka looks every 15 s, and compacts 100 MB in a few seconds: a log that is the same for so long is compacted.
STEADY_SECONDS = 60.0


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def trade(market: Market, second: int, at: int, random: Random) -> None:
    """Count a trade of some hundred dollars."""
    pane = market.open_pane(second)
    if pane is not None:
        notional, quantity = random.randrange(10**6, 10**10), random.randrange(10**10, 10**14)
        pane.add_trade(at, second * 10**6 + at % 10**6, 62_000 + random.random(), notional, 0, 0, quantity, 1, False)
        market.counted(second, pane, notional, 0)
    market.offset = at


async def write(address: str, markets: list[Market], first: int, seconds: int, written: list[int]) -> None:
    """Write what a flush each second makes."""
    random, at = Random(1), 0
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=20) as producer:
        for second in range(first, first + seconds):
            for market in markets:
                for _ in range(TRADES_A_SECOND):
                    at += 1
                    trade(market, second, at, random)
                partition = partition_of(market.symbol, PARTITIONS)
                for key, value in taken_from([market], SPAN).items():
                    written[0] += len(key) + len(value)
                    written[1] += 1
                    await producer.send(CHANGELOG, value, key, partition=partition, timestamp_ms=second * 1000)
                market.flushed_watermark = market.watermark
            if (done := second - first + 1) % 3600 == 0 and sys.stderr.isatty():
                sys.stderr.write(f"\r{done // 3600} of {seconds // 3600} hours written")


def on_disk(directory: Path) -> int:
    """Return the bytes of the changelog's segments."""
    return sum(file.stat().st_size for file in directory.glob(f"data/{CHANGELOG}-*/*.log"))


def steady(directory: Path) -> int:
    """Wait until the log is compacted; return its bytes."""
    size, since = on_disk(directory), time.monotonic()
    while time.monotonic() - since < STEADY_SECONDS:
        time.sleep(1)
        if (now := on_disk(directory)) != size:
            size, since = now, time.monotonic()
    return size


def main(hours: int, count: int) -> None:
    """Write, compact, restore, and print the figures."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        directory = Path(name)
        settings = load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=PARTITIONS)
        asyncio.run(_ensured(settings))
        markets = [Market("kraken_spot", f"M{number}/USD", SPAN) for number in range(count)]
        written, seconds = [0, 0], hours * 3600
        began = time.monotonic()
        asyncio.run(write(kafka.address, markets, int(time.time()) - seconds, seconds, written))
        say(
            f"{count} markets, {hours} h: {written[1]:,} records, {written[0] / MEGABYTE:,.0f} MB of keys and values "
            f"({written[0] / seconds / 1000:.0f} kB/s), written in {time.monotonic() - began:.0f} s"
        )
        say(f"on disk: {on_disk(directory / 'kafka') / MEGABYTE:,.0f} MB at once")
        say(f"on disk: {steady(directory / 'kafka') / MEGABYTE:,.0f} MB once compacted")
        with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                **postgres.settings,
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "TOPIC_PARTITIONS": str(PARTITIONS),
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker")
                began = time.monotonic()
                worker.start().wait_ready(900)
                took = time.monotonic() - began
                restored = worker.metric("liqmon_restored_records_total")
                say(f"restore: {restored:,.0f} records, the worker ready {took:.1f} s after its start")


async def _ensured(settings: object) -> None:
    await ensure_topics(settings, {CHANGELOG: CHANGELOG_CONFIG})  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*(int(argument) for argument in [*sys.argv[1:], *("48", "7")[len(sys.argv) - 1 :]]))
