"""Publishes messages in order, through outages: what was put is sent until the broker has acknowledged it.

Each partition has a lane with one batch under way at a time. A batch that fails is sent again before anything that
follows it, so a market's frames never overtake each other. A frame may arrive twice, which is harmless: trades have
identities. After a failure the Kafka client is replaced. An idempotent client that gave up on one batch has a hole in
its sequence numbers, and the broker refuses everything after it.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams import metrics, stages
from streams.backoff import Delays, doubling, scaled
from streams.errors import Fatal
from streams.kafka.admin import KAFKA, cluster_id
from streams.kafka.broker_clock import BrokerClock, ClockProbe, steady_us, told_ms
from streams.kafka.clients import connect, discard
from streams.kafka.outbound import Record
from streams.kafka.partitioning import partition_of
from streams.kafka.refusal import refusal
from streams.model import deadletters
from streams.publish.clocks import Clocks
from streams.publish.link import Link, outcome
from streams.publish.pacer import Pacer
from streams.publish.published_ids import PublishedIds
from streams.settings import Settings
from streams.topics import TRADES
from streams.words import counted

log = logging.getLogger(__name__)

metrics.start_at_zero(metrics.dead_letters, deadletters.REASONS)
_publish: Final = stages.Stage(stages.PUBLISH)

# A broker that is back is used within seconds. Attempts that came faster would load a broker that is starting.
FIRST_RETRY_SECONDS: Final = 0.2
LAST_RETRY_SECONDS: Final = 5.0
# An acknowledgement takes milliseconds. After this the broker counts as away, which is logged once.
SLOW_SECONDS: Final = 5.0
# How long a producer waits for the broker's clock before it begins to read.
KNOW_SECONDS: Final = 2.0
# How soon trades that wait for a right clock are looked at again.
LOOK_SECONDS: Final = 0.5


class Outgoing(msgspec.Struct, frozen=True):
    """One Kafka message and what it stands for: ``trades`` of ``venue``, or a dead letter with its ``reason``.

    One that is neither says that a recording has ended.
    """

    topic: str
    key: str
    value: bytes
    timestamp_ms: int
    trades: int = 0
    venue: str = ""
    reason: str = ""

    @property
    def weight(self) -> int:
        """How much room the message takes in the buffer, in trades."""
        return self.trades or 1


class _Lane:
    """One partition's messages in order, the first of them possibly under way."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.messages: deque[Outgoing] = deque()
        # When each of them was put, by the monotonic clock.
        self.put_at: deque[float] = deque()
        self.filled = asyncio.Event()
        self.sending_since: float | None = None
        # The same by the clock that broker clocks are measured with, microseconds.
        self.sent_us = 0


class Publisher:
    """Sends messages to the partition of their key. ``waiting`` is what was put and not acknowledged, in trades.

    ``failure`` completes with :class:`Fatal` where no further attempt can help.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pace: Pacer | None = None,
        published_ids: PublishedIds | None = None,
        broker_clock: BrokerClock | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._settings = settings
        self._broker_clock = broker_clock or BrokerClock()
        self._clocks = clocks or Clocks(settings, self._broker_clock)
        self._probe = ClockProbe(self._broker_clock, self._send)
        self._pace = pace
        self._published_ids = published_ids
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._link: Link | None = None
        # The client that the broker's clock is asked for by.
        self._asked: AIOKafkaProducer | None = None
        self._was_connected = False
        self._connecting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._away_since: float | None = None
        # Jitter, because all producers lose a broker in the same moment.
        self._delays = Delays(doubling(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS), jitter=scaled(0.75, 1.25))
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.trades = 0
        self.frames = 0
        self.letters = 0
        self.last_ack: float | None = None

    def start(self) -> None:
        """Begin to connect. Messages may be put at once."""
        self.spawn(self._first_contact())
        self.spawn(self._watch())
        if self._published_ids is not None:
            self.spawn(self._published_ids.run())

    async def know_clock(self) -> None:
        """Wait until the broker's clock is known; return within seconds where the broker is away."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._probe.is_answered.wait(), KNOW_SECONDS)

    async def _send(self, record: Record) -> Any:
        if self._asked is None:
            raise ConnectionError("another client is being opened")
        return await self._asked.send(record.topic, record.value, partition=record.partition)

    def put(self, message: Outgoing) -> None:
        """Take a message. It is sent as soon as those before it in its partition are acknowledged."""
        partition = partition_of(message.key, self._settings.topic_partitions)
        lane = self._lanes.get((message.topic, partition))
        if lane is None:
            lane = self._lanes[message.topic, partition] = _Lane(message.topic, partition)
            self.spawn(self._run(lane))
        lane.messages.append(message)
        lane.put_at.append(time.monotonic())
        lane.filled.set()
        self.waiting += message.weight

    async def wait_change(self) -> None:
        """Return when something was acknowledged, or :meth:`nudge` was called."""
        self._changed.clear()
        await self._changed.wait()

    def nudge(self) -> None:
        """Wake those who wait for a change, since there is room again elsewhere."""
        self._changed.set()

    async def drain(self) -> None:
        """Return when everything put was acknowledged."""
        while self.waiting:
            await self.wait_change()

    @property
    def available(self) -> bool:
        """Whether the broker is known to take messages."""
        return self._link is not None and self._away_since is None

    async def close(self) -> None:
        """Stop at once. What is not acknowledged by now may or may not arrive; :meth:`drain` first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
        if self._pace is not None:
            await self._pace.close()
        if not self.failure.done():
            self.failure.cancel()

    def spawn(self, work: Any) -> None:
        """Run something in the background until :meth:`close`. If it raises, ``failure`` completes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.failure.done():
            self.failure.set_exception(error)

    async def _first_contact(self) -> None:
        await self._connected(None)
        await self._probe.run()

    async def _run(self, lane: _Lane) -> None:
        while True:
            await lane.filled.wait()
            if self._pace is not None and lane.topic == TRADES:
                await self._pace.wait(lane.partition)
            while lane.topic == TRADES and self._clocks.broker_is_wrong:  # noqa: ASYNC110 - time itself is looked at
                await asyncio.sleep(LOOK_SECONDS)
            await self._deliver(lane)
            if not lane.messages:
                lane.filled.clear()

    async def _deliver(self, lane: _Lane) -> None:
        """Send the first messages of the lane until they are acknowledged."""
        broken: Link | None = None
        while True:
            link = await self._connected(broken)
            batch = link.client.create_batch()
            count = 0
            for message in lane.messages:
                key = message.key.encode()
                if batch.append(key=key, value=message.value, timestamp=message.timestamp_ms) is None:
                    break
                count += 1
            batch.close()
            lane.sending_since, lane.sent_us = time.monotonic(), steady_us()
            try:
                sent = await outcome(link, batch, lane.topic, lane.partition)
            except AssertionError as error:  # a vanished partition is an assertion in the client
                self._away(type(error).__name__)
                broken = link
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, another client is tried
                KAFKA.notice(error)
                self._away(type(error).__name__)
                broken = link
                continue
            finally:
                lane.sending_since = None
            if sent is None:
                broken = link
                continue
            if self._pace is not None and lane.topic == TRADES:
                self._pace.published(lane.partition, sent.offset + count, batch.size())
            self._acknowledged(lane, count, told_ms(sent))
            return

    def _acknowledged(self, lane: _Lane, count: int, broker_ms: int | None) -> None:
        """Take note that the broker has the first messages of a lane, ``broker_ms`` by its clock if it says so."""
        if broker_ms is not None:
            self._broker_clock.acknowledged(lane.sent_us, broker_ms)
        if self._published_ids is not None and lane.topic == TRADES:
            for at in range(count):
                # What workers will judge by: only what they accept may be marked.
                message = lane.messages[at]
                record_ms = message.timestamp_ms if broker_ms is None else broker_ms
                latest_us = self._clocks.latest_us(record_ms * 1000)
                self._published_ids.acknowledged(message.value, latest_us)
        if count and lane.topic == TRADES:
            _publish.took(time.monotonic() - lane.put_at[0])
        published: dict[str, list[int]] = {}  # metrics are costly per message, so they are added up first
        for _ in range(count):
            message = lane.messages.popleft()
            lane.put_at.popleft()
            self.waiting -= message.weight
            if message.trades:
                sums = published.setdefault(message.venue, [0, 0, 0])
                sums[0] += message.trades
                sums[1] += 1
                sums[2] += len(message.value)
            elif message.reason:
                self.letters += 1
                metrics.dead_letters.labels(deadletters.reason_label(message.reason)).inc()
        for venue, (trades, frames, size_bytes) in published.items():
            self.trades += trades
            self.frames += frames
            metrics.trades.labels(venue).inc(trades)
            metrics.frames.labels(venue).inc(frames)
            metrics.frame_bytes.labels(venue).inc(size_bytes)
        self.last_ack = time.monotonic()
        self._delays.reset()
        self._back()
        self._changed.set()

    def _back(self) -> None:
        if self._away_since is not None:
            log.info("the broker takes messages again after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None

    def _away(self, reason: str) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning(
                "the broker at %s does not take messages (%s): %s waiting; trying again until it does",
                self._settings.kafka_bootstrap_servers,
                reason,
                counted(self.waiting, "trade"),
            )

    async def _watch(self) -> None:
        """Notice a broker that does not answer. The client tries again without a word."""
        while True:
            await asyncio.sleep(SLOW_SECONDS / 5)
            now = time.monotonic()
            self._clocks.wrong()
            if any(lane.sending_since and now - lane.sending_since > SLOW_SECONDS for lane in self._lanes.values()):
                self._away("no answer")

    async def _connected(self, broken: Link | None) -> Link:
        """Return a link that is not the broken one. Waits until the broker is there."""
        async with self._connecting:
            if self._link is broken and broken is not None:
                self._link = self._asked = None
                await broken.close()
                await asyncio.sleep(self._delays.next_seconds())
            while self._link is None:
                try:
                    if self._published_ids is not None:
                        self._published_ids.know(await cluster_id(self._settings))
                    self._link = Link(await self._opened())
                    self._was_connected = True
                except Fatal:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                    # Who was let in before is let in again when somebody mends it; who never was is set wrong.
                    if not self._was_connected and (refused := await refusal(self._settings)) is not None:
                        raise refused from None
                    self._away(KAFKA.notice(error))
                    await asyncio.sleep(self._delays.next_seconds())
            if not self.waiting:
                self._back()
            return self._link

    async def _opened(self) -> AIOKafkaProducer:
        """Return a client that is connected, and by which the broker's clock was asked for."""
        client = await connect(self._settings)
        self._asked = client
        try:
            with contextlib.suppress(KafkaError, OSError):  # TimeoutError is one
                async with asyncio.timeout(KNOW_SECONDS):
                    await self._probe.measure()
            self._probe.is_answered.set()
        except BaseException:
            await discard(client)
            raise
        return client
