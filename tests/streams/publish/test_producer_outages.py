"""Through a slow, frozen, absent, killed or wiped broker: what was read is published, in order, or it is said."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.errors import Fatal
from streams.kafka import clients
from streams.kafka.partitioning import partition_of
from streams.local.embedded.broker import EmbeddedBroker
from streams.model.frames import decode_frame
from streams.model.trade import Batch
from streams.publish import publisher
from streams.publish.producer import Producer, ProducerSummary, produce
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, TRADES
from streams.venues import base
from tests.kafka import RealKafka
from tests.lost_writes import writes_that_fail
from tests.streams.publish.feeds import SYMBOLS, Feed, feed_of, frames, frozen, settings_for, trade
from tests.waiting import until


class TestBackPressure:
    """Memory is bounded, and nothing is dropped for it."""

    async def test_a_full_buffer_stops_the_reading_and_no_trade_is_lost(self, fresh_broker: EmbeddedBroker) -> None:
        """While the broker is frozen at most PRODUCER_MAX_BUFFERED_TRADES are held; then all arrive."""
        feed = feed_of(*([trade(1000 * step + at) for at in range(1000)] for step in range(20)))
        producer = Producer(settings_for(fresh_broker.address, producer_max_buffered_trades=5000), [feed])
        with frozen(fresh_broker):
            running = asyncio.create_task(producer.run(asyncio.Event()))
            await until(lambda: producer.buffered_trades == 5000)
            for _ in range(20):
                await asyncio.sleep(0)
            assert producer.buffered_trades == 5000
            assert feed.taken == 6000
        summary = await running
        assert summary.trades == 20_000
        ids = [one for frame in await frames(fresh_broker.address, summary.frames) for one in frame.trade_ids()]
        assert ids == list(range(20_000))

    async def test_a_batch_larger_than_the_buffer_goes_through(self, fresh_broker: EmbeddedBroker) -> None:
        """It is taken in steps."""
        feed = feed_of([trade(at) for at in range(5000)])
        settings = settings_for(fresh_broker.address, producer_max_buffered_trades=1000)
        assert (await produce(settings, [feed], stop=asyncio.Event())).trades == 5000

    async def test_a_pacer_holds_every_batch_back(self, fresh_broker: EmbeddedBroker) -> None:
        """Nothing is published while it waits; afterwards it is told what was."""

        class Held:
            def __init__(self) -> None:
                self.open = asyncio.Event()
                self.told: list[tuple[int, int]] = []
                self.bytes = 0

            async def wait(self, _partition: int, /) -> None:
                await self.open.wait()

            def published(self, partition: int, next_offset: int, size_bytes: int) -> None:
                self.told.append((partition, next_offset))
                self.bytes += size_bytes

            async def close(self) -> None:
                self.told.append((-1, -1))

        pace = Held()
        producer = Producer(settings_for(fresh_broker.address), [feed_of([trade(1)])], pace=pace)
        running = asyncio.create_task(producer.run(asyncio.Event()))
        # It reads once it has asked for the broker's clock.
        await until(lambda: producer.facts().details["broker_available"] and producer.buffered_trades)
        assert producer.buffered_trades == 1
        pace.open.set()
        await running
        assert pace.told == [(partition_of("BTC/USD", 4), 1), (-1, -1)]
        assert 50 < pace.bytes < 500


class TestStop:
    """Told to stop, the producer publishes what it has read."""

    async def test_everything_read_is_published(self, fresh_broker: EmbeddedBroker) -> None:
        """Trades that still waited for company, and those of a batch that had no room yet."""
        feed = Feed()
        feed.give([trade(at) for at in range(3000)])
        settings = settings_for(fresh_broker.address, producer_max_buffered_trades=1000, frame_linger_ms=10_000)
        stop = asyncio.Event()
        producer = Producer(settings, [feed])
        with frozen(fresh_broker):
            running = asyncio.create_task(producer.run(stop))
            await until(lambda: producer.buffered_trades == 1000)
            stop.set()
            await until(lambda: producer.buffered_trades == 3000)
        summary = await running
        assert summary.trades == 3000
        ids = [one for frame in await frames(fresh_broker.address, summary.frames) for one in frame.trade_ids()]
        assert ids == list(range(3000))

    async def test_after_the_deadline_it_says_how_much_is_lost(self, fresh_broker: EmbeddedBroker) -> None:
        """A broker that is away cannot hold the program for ever; the exit is an error with a number."""
        feed = Feed()
        feed.give([trade(at) for at in range(123)])
        stop = asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), [feed])
        with frozen(fresh_broker):
            running = asyncio.create_task(producer.run(stop, drain_seconds=0.2))
            await until(lambda: feed.taken)
            stop.set()
            with pytest.raises(Fatal, match="123 trades not published"):
                await running

    async def test_a_source_that_cannot_go_on_ends_it_after_what_it_gave(self, fresh_broker: EmbeddedBroker) -> None:
        """The error comes out, the trades before it are published."""

        class Torn(base.Feed):
            async def batches(self) -> AsyncGenerator[Batch, None]:
                yield Batch([trade(1)], 0)
                raise Fatal("the disk is gone")

        with pytest.raises(Fatal, match="the disk is gone"):
            await produce(settings_for(fresh_broker.address), [Torn(), Feed()], stop=asyncio.Event())
        (frame,) = await frames(fresh_broker.address, 1)
        assert frame.trade_ids() == [1]


class TestALostClient:
    """One client serves all partitions; where one of them gives it up, none waits for it any more."""

    async def test_a_client_given_up_while_another_partition_asks_for_its_topic(
        self, fresh_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client of a frozen broker gives up on the first of two topics before it does on the second."""
        monkeypatch.setattr(clients, "REQUEST_TIMEOUT_MS", 1000)
        sender = publisher.Publisher(settings_for(fresh_broker.address))
        sender.start()
        try:
            await until(lambda: sender.available)
            client = sender._link
            with frozen(fresh_broker):
                for topic in (TRADES, DEAD_LETTERS):
                    sender.put(publisher.Outgoing(topic, "BTC/USD", b"value", 1))
                    await asyncio.sleep(0.5)
                await until(lambda: sender._link is not client)
            async with asyncio.timeout(20):
                await sender.drain()
        finally:
            await sender.close()


class TestErrorsThatNoClientShouldRaise:
    """The client is given up, and another takes over what it had."""

    async def test_every_trade_is_published_in_order(self, fresh_broker: EmbeddedBroker) -> None:
        """Writes fail for a while in the middle of a stream of trades."""
        feed, stop = Feed(), asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), [feed])
        running = asyncio.create_task(producer.run(stop))
        feed.give([trade(0)])
        await until(lambda: producer._publisher.trades == 1)
        with writes_that_fail(int(fresh_broker.address.rpartition(":")[2])) as failed:
            for number in range(1, 20):
                feed.give([trade(number)])
            await until(lambda: len(failed) > 5)
            assert not running.done()
        feed.give([trade(20)])
        await until(lambda: producer._publisher.trades == 21, 60)
        stop.set()
        summary = await running
        found = await frames(fresh_broker.address, summary.frames)
        assert [number for frame in found for number in frame.trade_ids()] == list(range(21))


class TestOutages:
    """On a real Kafka, which can go and come back with what it had."""

    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[RealKafka]:
        """Give a Kafka that is not started yet."""
        if reason := RealKafka.available():
            pytest.skip(f"not covered: a real Kafka ({reason})")
        kafka_node = RealKafka(tmp_path / "kafka")
        yield kafka_node
        kafka_node.kill()

    async def test_a_broker_absent_at_the_start_and_killed_later_costs_no_trade_and_no_order(
        self, node: RealKafka, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Trades are read all along; each market's ids are on the topic in order of first appearance."""
        monkeypatch.setattr(clients, "REQUEST_TIMEOUT_MS", 3000)
        caplog.set_level(logging.INFO, "streams")
        feed, stop = Feed(), asyncio.Event()
        settings = settings_for(node.address, create_topics=True, frame_max_trades=10)
        producer = Producer(settings, [feed])
        numbers = iter(range(10**6))

        def give(count: int) -> None:
            for _ in range(count):
                number = next(numbers)
                feed.give([trade(number, symbol) for symbol in SYMBOLS])

        def published() -> int:
            return int(producer.facts().details["published_trades"])

        running = asyncio.create_task(producer.run(stop))
        give(100)
        await until(lambda: "the broker" in caplog.text)
        assert not producer.facts().ready
        node.launch()
        await asyncio.to_thread(node.wait_ready)
        await until(lambda: published() == 300)

        node.kill()
        give(200)
        await until(lambda: feed.taken == 900)
        node.launch()
        await asyncio.to_thread(node.wait_ready)
        give(100)
        await until(lambda: published() == 1200)
        stop.set()
        summary = await running
        assert summary.trades == 1200

        order = await self.first_appearances(node.address)
        assert order == {symbol: list(range(400)) for symbol in SYMBOLS}
        lines = [line for line in caplog.messages if "does not take messages" in line]
        assert len(lines) <= 2, "one line an outage"

    async def test_a_wiped_broker_is_served_again(self, node: RealKafka, monkeypatch: pytest.MonkeyPatch) -> None:
        """It knows neither the topics nor the producer; what waits is published to the new cluster."""
        monkeypatch.setattr(clients, "REQUEST_TIMEOUT_MS", 3000)
        node.launch()
        await asyncio.to_thread(node.wait_ready)
        feed, stop = Feed(), asyncio.Event()
        producer = Producer(settings_for(node.address, create_topics=True), [feed])
        running = asyncio.create_task(producer.run(stop))
        feed.give([trade(1)])
        await until(lambda: producer.facts().details["published_trades"] == 1)
        node.kill()
        node.wipe()
        feed.give([trade(2)])
        node.launch()
        await asyncio.to_thread(node.wait_ready)
        await until(lambda: producer.facts().details["published_trades"] == 2)
        stop.set()
        await running
        assert (await self.first_appearances(node.address))["BTC/USD"][-1:] == [2]

    @staticmethod
    async def first_appearances(address: str) -> dict[str, list[int]]:
        """Return each market's ids in the order in which they first appear on the topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        await consumer.start()
        try:
            places = [TopicPartition(TRADES, partition) for partition in range(4)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            order: dict[str, dict[int, None]] = {symbol: {} for symbol in SYMBOLS}
            async with asyncio.timeout(20):
                while any([await consumer.position(place) < ends[place] for place in places]):
                    for messages in (await consumer.getmany(timeout_ms=500)).values():
                        for message in messages:
                            frame = decode_frame(message.value or b"")
                            order[frame.symbol].update(dict.fromkeys(frame.trade_ids()))
            return {symbol: list(ids) for symbol, ids in order.items()}
        finally:
            await consumer.stop()


async def test_an_absent_broker_is_awaited_with_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the address; attempts go on without more lines, and SIGTERM ends them."""
    monkeypatch.setattr(publisher, "LAST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(publisher, "FIRST_RETRY_SECONDS", 0.01)
    attempts = 0
    connect = clients.connect

    async def counted(settings: Settings) -> Any:
        nonlocal attempts
        attempts += 1
        return await connect(settings)

    monkeypatch.setattr(publisher, "connect", counted)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    stop = asyncio.Event()
    running = asyncio.create_task(produce(settings_for(f"127.0.0.1:{port}"), [Feed()], stop=stop))
    await until(lambda: attempts > 5)
    stop.set()
    assert isinstance(await running, ProducerSummary)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert f"127.0.0.1:{port}" in caplog.messages[0]
