"""How long a new worker takes to have every market: ``python -m tests.benchmarks.restore [markets] [runs] [trades]``.

Fills the changelog on a real Kafka with an hour of panes of so many markets, with so many trades each second in each,
as compaction leaves it. Then workers with empty directories take it over, one after the other. For each it prints the
seconds and the CPU time from its start until it is ready, those until an answer about all markets is whole, and
its memory then. Restoring alone is timed by the worker's log. At last one of two workers is killed, and it prints when
the other one, which stood by, has everything.
"""

import asyncio
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

import msgspec
from aiokafka import AIOKafkaProducer

from streams.kafka.admin import CHANGELOG_CONFIG, ensure_topics
from streams.kafka.partitioning import partition_of
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from tables.market.chunks import prefix
from tables.market.state import Market
from tables.stores.items import taken_from
from tables.web.cluster.replicas import NOTES
from tests.benchmarks.changelog import CHANGELOG, MEGABYTE, PARTITIONS, SPAN, say, trade
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka import RealKafka
from tests.kafka.server import HOST
from tests.machine import cpu_seconds, resident_bytes

HOUR = 3600
VENUE = "kraken_spot"
# Markets of one shape cost what others cost: so many are folded, and the others are copies under other names.
SHAPES = 8
SECONDS_AT_MOST = 600
# An answer takes the worker's time.
LOOK_SECONDS = 0.2


class Restored(msgspec.Struct):
    """What one worker took, in seconds from its start, and its resident memory once all is there, in megabytes.

    ``reading`` is the part in which it read the changelog. ``asked`` is how many answers it gave until one was whole.
    """

    reading: float
    ready: float
    ready_cpu: float
    whole: float
    whole_cpu: float
    asked: float
    records: float
    rss_mb: float


def shapes(trades_a_second: int) -> list[dict[bytes, bytes]]:
    """Return what is stored of some markets with an hour of panes each, by the last part of its key."""
    found, until = [], int(time.time())
    for number in range(SHAPES):
        random, market, at = Random(number), Market(VENUE, "M", SPAN), 0
        for second in range(until - HOUR, until):
            for _ in range(trades_a_second):
                at += 1
                trade(market, second, at, random)
        start = len(prefix(VENUE, "M"))
        found.append({key[start:]: value for key, value in taken_from([market], SPAN).items()})
    return found


async def fill(address: str, markets: int, trades_a_second: int) -> tuple[int, int]:
    """Write the changelog; return its records and the bytes of their keys and values."""
    records = size = 0
    kept = shapes(trades_a_second)
    async with AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=512 * 1024) as producer:
        for number in range(markets):
            symbol = f"M{number}/USD"
            for part, value in kept[number % SHAPES].items():
                key = prefix(VENUE, symbol) + part
                await producer.send(CHANGELOG, value, key, partition=partition_of(symbol, PARTITIONS))
                records += 1
                size += len(key) + len(value)
    return records, size


def until_whole(worker: Process, markets: int) -> int:
    """Ask until the worker's answer about all markets lacks nothing; return how often. Raises :class:`TimeoutError`."""
    asked = 0

    def is_whole() -> bool:
        nonlocal asked
        asked += 1
        with urllib.request.urlopen(f"http://{HOST}:{worker.port}/api/windows", timeout=60) as answer:
            rows = msgspec.json.decode(answer.read())
            return not answer.headers[NOTES] and len({row["symbol"] for row in rows}) == markets

    wait_until(is_whole, SECONDS_AT_MOST, "a whole answer", poll_seconds=LOOK_SECONDS)
    return asked


def reading_seconds(log: str) -> float:
    """Return how long the worker read changelogs; 0 where it had nothing to read."""
    began, ended = (
        re.search(rf"(\S+ \S+) INFO .*{text}", log) for text in ("Restoring state from", "Done reading from")
    )
    if began is None or ended is None:
        return 0.0
    begin, end = (datetime.fromisoformat(line[1].replace(",", ".")) for line in (began, ended))
    return (end - begin).total_seconds()


def measure(worker: Process, markets: int) -> Restored:
    """Start a worker and wait until it has everything."""
    began = time.monotonic()
    worker.start().wait_ready(SECONDS_AT_MOST)
    ready, ready_cpu = time.monotonic() - began, cpu_seconds([worker.pid])
    asked = until_whole(worker, markets)
    return Restored(
        reading=reading_seconds(worker.log_text()),
        ready=ready,
        ready_cpu=ready_cpu,
        whole=time.monotonic() - began,
        whole_cpu=cpu_seconds([worker.pid]),
        asked=asked,
        records=worker.metric("liqmon_restored_records_total"),
        rss_mb=resident_bytes(worker.pid) / MEGABYTE,
    )


def take_over(processes: Processes, markets: int) -> float:
    """Return the seconds from the kill of one of two workers until the other one's answer is whole."""
    owner, heir = processes.worker("owner").start(), processes.worker("heir").start()
    for worker in (owner, heir):
        worker.wait_ready(SECONDS_AT_MOST)
    wait_until(lambda: standing_by(heir) == PARTITIONS, SECONDS_AT_MOST, "copies of all partitions")
    began = time.monotonic()
    owner.kill()
    until_whole(heir, markets)
    return time.monotonic() - began


def standing_by(worker: Process) -> int:
    """Return of how many partitions the group has a whole copy beside its owner's, as a worker knows it."""
    with urllib.request.urlopen(f"http://{HOST}:{worker.port}/api/workers", timeout=60) as answer:
        rows = msgspec.json.decode(answer.read())["rows"]
    copies = [one for row in rows for one in row["partitions"] if one["role"] == "standby"]
    return sum(one["lag"] == 0 for one in copies)


@contextmanager
def stack(markets: int, trades_a_second: int) -> Iterator[Processes]:
    """Give processes beside a Kafka whose changelog is full."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        settings = load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=PARTITIONS)
        asyncio.run(ensure_topics(settings, {CHANGELOG: CHANGELOG_CONFIG}))
        records, size = asyncio.run(fill(kafka.address, markets, trades_a_second))
        say(f"{markets} markets: {records:,} records, {size / MEGABYTE:,.0f} MB of keys and values")
        with EmbeddedPostgres(Path(name) / "postgres", durable=False) as postgres:
            environment = {
                **postgres.settings,
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "TOPIC_PARTITIONS": str(PARTITIONS),
                "MAX_MARKETS_PER_PARTITION": str(markets),
            }
            with Processes(Path(name), environment) as processes:
                yield processes


def main(markets: int = 1000, runs: int = 3, trades_a_second: int = 3) -> None:
    """Print a line for each worker, and the medians."""
    found = []
    with stack(markets, trades_a_second) as processes:
        for number in range(runs):
            worker = processes.worker(f"worker-{number}")
            found.append(measure(worker, markets))
            say(_line(f"worker {number}", found[-1]))
            worker.stop()
        fields = Restored.__struct_fields__
        say(_line("median", Restored(*(statistics.median(getattr(run, field) for run in found) for field in fields))))
        say(f"take-over from a killed worker by one that stood by: {take_over(processes, markets):.1f} s")


def _line(name: str, run: Restored) -> str:
    return (
        f"{name}: {run.records:,.0f} records, reading {run.reading:.1f} s, ready {run.ready:.1f} s "
        f"({run.ready_cpu:.1f} s CPU), answer {run.asked:g} whole at {run.whole:.1f} s ({run.whole_cpu:.1f} s CPU), "
        f"{run.rss_mb:,.0f} MB"
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
