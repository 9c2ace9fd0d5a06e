"""What tests of the producer share: a feed that they fill, trades for it, and a reader of what was published."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.local.embedded.broker import EmbeddedBroker
from streams.model.connection import Connection
from streams.model.frames import Frame, decode_frame
from streams.model.trade import Batch, Kind, Reject, Side, Trade
from streams.settings import Settings, load_settings
from streams.topics import TRADES
from streams.venues import base
from tests.kraken import product_of
from tests.machine import until_stopped

NOON_US = 1_700_000_000_000_000
SYMBOLS = ("BTC/USD", "ETH/USD", "PF_XBTUSD")


def settings_for(address: str, **changes: Any) -> Settings:
    """Return settings for a broker that makes topics by itself."""
    given = {"kafka_bootstrap_servers": address, "create_topics": False, "producer_metrics_port": 0}
    return load_settings(**given | changes)


def trade(number: int, symbol: str = "BTC/USD", **changes: Any) -> Trade:
    """Return a trade; its id is its number."""
    fields: dict[str, Any] = {
        "venue": "test", "symbol": symbol, "product": product_of(symbol), "trade_id": number,
        "side": Side.BUY, "kind": Kind.FILL,
        "price": Decimal("100.5"), "quantity": Decimal("0.25"), "time_us": NOON_US + number,
    }  # fmt: skip
    return Trade(**fields | changes)


class Feed(base.Feed):
    """A feed that a test fills, and that says how much of it was taken."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue()
        self.connected = True
        self.socket: Connection | None = None
        self.taken = 0

    def give(self, trades: list[Trade], rejects: list[Reject] | None = None, received_us: int = 0) -> None:
        """Offer a batch."""
        self._batches.put_nowait(Batch(trades, received_us, rejects or []))

    def end(self) -> None:
        """End after what was given."""
        self._batches.put_nowait(None)

    def connection(self) -> Connection | None:
        """Return the socket that the test gave it."""
        return self.socket

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what was given."""
        while (batch := await self._batches.get()) is not None:
            self.taken += len(batch.trades)
            yield batch


def feed_of(*batches: list[Trade]) -> Feed:
    """Return a feed that ends after these batches."""
    feed = Feed()
    for batch in batches:
        feed.give(batch)
    feed.end()
    return feed


async def consume(address: str, topic: str, count: int) -> list[ConsumerRecord[bytes, bytes]]:
    """Read ``count`` messages of a topic, each partition in order, and see that there are no more."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(4)]
        consumer.assign(places)
        messages: list[ConsumerRecord[bytes, bytes]] = []
        async with asyncio.timeout(20):
            while len(messages) < count:
                for found in (await consumer.getmany(timeout_ms=1000)).values():
                    messages += found
        ends = await consumer.end_offsets(places)
        assert sum(ends.values()) == len(messages) == count
        return messages
    finally:
        await consumer.stop()


async def frames(address: str, count: int) -> list[Frame]:
    """Read the frames of the topic ``trades``."""
    return [decode_frame(message.value or b"") for message in await consume(address, TRADES, count)]


@contextmanager
def frozen(broker: EmbeddedBroker) -> Iterator[None]:
    """Freeze a broker: connections stay open and nothing answers."""
    os.kill(broker.child.pid, signal.SIGSTOP)
    until_stopped(broker.child.pid)
    try:
        yield
    finally:
        os.kill(broker.child.pid, signal.SIGCONT)
