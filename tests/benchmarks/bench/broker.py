"""A real Kafka that holds a part's messages, put back to that state before each run."""

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from streams.kafka.admin import ensure_topics
from streams.kafka.partitioning import partition_of
from streams.settings import load_settings
from streams.topics import TRADES
from tests.benchmarks.bench import feed
from tests.benchmarks.bench.parts import Part
from tests.kafka import RealKafka

PARTITIONS: Final = 4
AS_JSON: Final = "trades-json"
"""The same trades as JSON arrays, for peers, where the program reads frames."""

MESSAGES: Final = "messages"
PEER_ALERTS: Final = "peer-alerts"
PEER_TOPICS: Final = (AS_JSON, PEER_ALERTS)
# The machine has few processors, and one client reads at a time.
BROKER_SETTINGS: Final = {"num.io.threads": "2", "num.network.threads": "2"}


class FilledKafka:
    """The messages of a part on the disk of a Kafka."""

    def __init__(self, directory: Path, part: Part) -> None:
        self.part = part
        trades = feed.columns(part)
        self.totals = feed.totals(part, trades)
        self._kafka = RealKafka(directory / "kafka", overrides=BROKER_SETTINGS)
        self._data = directory / "kafka" / "data"
        self._kept = directory / "kept"
        with self._kafka:
            asyncio.run(_make_topics(self._kafka.address))
            if part.is_rows:
                publish(self._kafka.address, TRADES, feed.json_messages(part, trades))
            else:
                publish(self._kafka.address, TRADES, feed.frames(part, trades))
                publish(self._kafka.address, AS_JSON, feed.json_messages(part, trades))
        self._kept.mkdir()
        self.keep(MESSAGES)

    @property
    def json_topic(self) -> str:
        """The topic that peers read."""
        return TRADES if self.part.is_rows else AS_JSON

    @contextmanager
    def fresh(self, kept: str = MESSAGES) -> Iterator[str]:
        """Run a Kafka that holds the messages and nothing else, or what :meth:`keep` kept; give its address."""
        shutil.rmtree(self._data, ignore_errors=True)
        shutil.copytree(self._kept / kept, self._data)
        with self._kafka:
            yield self._kafka.address

    def keep(self, name: str) -> None:
        """Keep what the Kafka that ran last holds, under a name."""
        self._data.rename(self._kept / name)


async def _make_topics(address: str) -> None:
    await ensure_topics(load_settings(kafka_bootstrap_servers=address, topic_partitions=PARTITIONS))
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in PEER_TOPICS])
    finally:
        await admin.close()


def publish(address: str, topic: str, messages: Iterable[tuple[str, bytes]]) -> None:
    """Write messages, each in its symbol's partition, in order. Raises RuntimeError where the broker refuses one."""
    producer = Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 20,
            "batch.size": 512 * 1024,
            "message.max.bytes": 1_000_000,
            "max.in.flight": 1,
            "acks": "all",
        }
    )
    homes: dict[str, int] = {}
    for symbol, value in messages:
        home = homes.get(symbol)
        if home is None:
            home = homes.setdefault(symbol, partition_of(symbol, PARTITIONS))
        while True:
            try:
                producer.produce(topic, value, symbol.encode(), partition=home)
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(120):
        raise RuntimeError(f"Kafka took all but {left} messages of {topic}")
