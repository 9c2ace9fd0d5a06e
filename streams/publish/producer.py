"""The producer: feeds → frames → topic ``trades``, in order, in bounded memory, and through a broker's absence."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from streams import metrics, stages
from streams.errors import Fatal
from streams.kafka.broker_clock import BrokerClock
from streams.model.frames import encode_end
from streams.model.kinds import MarketKind
from streams.model.trade import Batch, Reject
from streams.progress import show_progress
from streams.publish.clocks import Clocks, Reading
from streams.publish.coalescer import Coalescer, Group
from streams.publish.deduplicator import Deduplicator
from streams.publish.pacer import Pacer
from streams.publish.published_ids import PublishedIds
from streams.publish.publisher import Outgoing, Publisher
from streams.publish.refusals import Refusals
from streams.publish.screening import framed
from streams.publish.status import Facts, StatusServer
from streams.settings import Settings
from streams.tls import of_web_servers
from streams.topics import DEAD_LETTERS, TRADES
from streams.venues.base import Feed
from streams.words import counted

log = logging.getLogger(__name__)

# How long a producer that was told to stop tries to deliver what it has. A broker restarts within this time.
DRAIN_SECONDS: Final = 30.0
# A batch enters the buffer in steps of at most this, so that the buffer keeps its bound whatever the size of a batch.
# It is the least PRODUCER_MAX_BUFFERED_TRADES.
STEP_TRADES: Final = 1000
MICROS: Final = 1_000_000
# What has already arrived beside a trade is read in this time, and a loop's timers know no shorter one. Of two
# producers one may be told to be later (docs/redis.md): a linger that is longer than this is meant for every frame.
ALONE_US: Final = 1000
LONGEST_LINGER_US: Final = 10_000
_receive: Final = stages.Stage(stages.RECEIVE)
# Kafka deletes by the message's timestamp, and would delete a replay with its old receipt times at once. A message
# older than an hour gets the present time instead.
MAX_TIMESTAMP_AGE_US: Final = 3_600_000_000


class ProducerSummary(msgspec.Struct, frozen=True):
    """What a producer has published and the broker has acknowledged, and how long that took.

    ``reasons`` says in words why rows were refused, and which was the first.
    """

    trades: int
    frames: int
    rejects: int
    seconds: float
    reasons: str


class Producer:
    """Reads the feeds until they end or ``stop`` is set, and publishes everything that was read."""

    def __init__(
        self,
        settings: Settings,
        feeds: Sequence[Feed],
        *,
        pace: Pacer | None = None,
        published_ids: PublishedIds | None = None,
        says_ends: bool = False,
    ) -> None:
        self._settings = settings
        self._feeds = feeds
        broker_clock = BrokerClock()
        self._clocks = Clocks(settings, broker_clock)
        self._publisher = Publisher(
            settings, pace=pace, published_ids=published_ids, broker_clock=broker_clock, clocks=self._clocks
        )
        self._deduplicator = Deduplicator(published_ids, self._frame, self._publisher.nudge)
        linger_us = settings.frame_linger_ms * 1000
        alone_us = ALONE_US if linger_us <= LONGEST_LINGER_US else linger_us
        self._coalescer = Coalescer(settings.frame_max_trades, linger_us, alone_us)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # When that is due, by the loop's clock: uvloop's handles do not always say.
        self._timer_us = 0
        self._refusals = Refusals()
        self._reading = 0
        self._says_ends = says_ends
        # The markets read, each with its kind: only kept where their ends are to be said.
        self._markets: dict[tuple[str, str], MarketKind] = {}

    @property
    def buffered_trades(self) -> int:
        """Trades read and not yet acknowledged by the broker."""
        return self._coalescer.waiting + self._deduplicator.waiting + self._publisher.waiting

    async def run(self, stop: asyncio.Event, *, drain_seconds: float = DRAIN_SECONDS) -> ProducerSummary:
        """Publish until done. Raises :class:`Fatal` where trades could not be published, and whatever a feed raises.

        After ``stop`` the broker has ``drain_seconds`` to take what is left.
        """
        began = time.monotonic()
        self._publisher.start()
        self._publisher.spawn(self._deduplicator.run())
        readers: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._deduplicator.open()
            await self._publisher.know_clock()
            readers += [asyncio.create_task(self._read(feed)) for feed in self._feeds]
            failed = await self._until_read(readers, stopping)
            self._deduplicator.put(self._coalescer.flush())
            if failed is None and not stopping.done():
                self._say_ends()
            await self._drain(stopping, drain_seconds, hurry=failed is not None)
            if failed is not None:
                raise failed
        finally:
            for task in (*readers, stopping):
                task.cancel()
            await asyncio.gather(*readers, stopping, return_exceptions=True)
            if self._timer is not None:
                self._timer.cancel()
            await self._publisher.close()
            await self._deduplicator.close()
        publisher = self._publisher
        seconds, reasons = time.monotonic() - began, self._refusals.reasons()
        return ProducerSummary(publisher.trades, publisher.frames, publisher.letters, seconds, reasons)

    def facts(self) -> Facts:
        """Return what is known of the producer's health."""
        publisher = self._publisher
        metrics.buffered_trades.set(self.buffered_trades)
        age = None if publisher.last_ack is None else time.monotonic() - publisher.last_ack
        connected = sum(feed.connected for feed in self._feeds)
        clocks = self._clocks.details()
        connections = [self._clocks.timed(found) for feed in self._feeds if (found := feed.connection()) is not None]
        missing = sum(connection.missing for connection in connections)
        recordings = [str(feed.progress) for feed in self._feeds if feed.progress is not None]
        is_connected = bool(connected or not self._reading)
        return Facts(
            ready=publisher.available and is_connected and not missing and not clocks["clock"],
            details={
                **clocks,
                "broker_available": publisher.available,
                "seconds_since_acknowledgement": age,
                "buffered_trades": self.buffered_trades,
                "feeds": len(self._feeds),
                "feeds_connected": connected,
                "feeds_reading": self._reading,
                "published_trades": publisher.trades,
                "published_frames": publisher.frames,
                "dead_letters": publisher.letters,
                "missing_symbols": missing,
                "connections": connections,
                **({"recordings": recordings} if recordings else {}),
            },
        )

    async def _until_read(self, readers: list[asyncio.Task[None]], stopping: asyncio.Task[Any]) -> BaseException | None:
        """Wait for the feeds' end or the order to stop; return what broke a feed."""
        pending: set[asyncio.Future[Any]] = {*readers}
        failed = None
        while pending and failed is None and not stopping.done():
            done, _ = await asyncio.wait(
                {*pending, stopping, self._publisher.failure}, return_when=asyncio.FIRST_COMPLETED
            )
            if self._publisher.failure.done():
                self._publisher.failure.result()
            pending -= done
            failed = next((task.exception() for task in done if task is not stopping and task.exception()), None)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return failed

    async def _drain(self, stopping: asyncio.Task[Any], seconds: float, *, hurry: bool) -> None:
        """Wait until everything is acknowledged. Once the producer was told to stop there is a deadline."""
        draining = asyncio.create_task(self._drained())
        try:
            if not hurry:
                await asyncio.wait({draining, stopping, self._publisher.failure}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(
                {draining, self._publisher.failure}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if self._publisher.failure.done():
                self._publisher.failure.result()
            if not draining.done():
                raise Fatal(
                    f"stopped with {counted(self._publisher.waiting, 'trade')} not published: "
                    f"the broker at {self._settings.kafka_bootstrap_servers} did not take them within {seconds:g} s"
                )
        finally:
            draining.cancel()

    async def _drained(self) -> None:
        await self._deduplicator.drain()
        await self._publisher.drain()

    async def _read(self, feed: Feed) -> None:
        self._reading += 1
        if feed.progress is not None:
            feed.progress.waiting = lambda: self.buffered_trades
        try:
            async with aclosing(feed.batches()) as batches:
                async for batch in batches:
                    # The trades of a recording say when they were made, not what time it is.
                    if feed.progress is None and batch.received_us:
                        self._clocks.heard(batch.trades, batch.received_us)
                    await self._take(batch)
        finally:
            self._reading -= 1

    async def _take(self, batch: Batch) -> None:
        """Put a batch into the buffer as room allows. When told to stop meanwhile, take all of it: it has been read."""
        steps = self._steps(batch)
        try:
            for count in steps:
                while self.buffered_trades + count > self._settings.producer_max_buffered_trades:
                    await self._publisher.wait_change()
                if count == STEP_TRADES:
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            deque(steps, maxlen=0)
            raise

    def _steps(self, batch: Batch) -> Iterator[int]:
        """Put a batch into the buffer in steps, each after yielding how much room it takes."""
        received_us = batch.received_us or _now_us()
        for start in range(0, len(batch.rejects), STEP_TRADES):
            rejects = batch.rejects[start : start + STEP_TRADES]
            yield len(rejects)
            self._refuse(rejects, received_us)
        for start in range(0, len(batch.trades), STEP_TRADES):
            trades = batch.trades[start : start + STEP_TRADES]
            yield len(trades)
            now_us = self._clock_us()
            self._deduplicator.put(self._coalescer.add(trades, received_us, now_us))
            self._release()

    def _release(self) -> None:
        """Publish the groups that have waited long enough, and come back when the next one has."""
        self._deduplicator.put(self._coalescer.due(self._clock_us()))
        due_us = self._coalescer.next_due_us()
        if due_us is None:
            return
        if self._timer is not None:
            if self._timer_us <= due_us:
                return
            self._timer.cancel()
        self._timer_us = due_us
        self._timer = self._loop.call_at(due_us / MICROS, self._timed_release)

    def _timed_release(self) -> None:
        self._timer = None
        self._release()

    def _clock_us(self) -> int:
        return int(self._loop.time() * MICROS)

    def _frame(self, groups: Sequence[Group]) -> None:
        if not groups:
            return
        # Once for all of them: what a look costs is a fifth of what a frame costs.
        clocks = self._clocks.read()
        _receive.took((clocks.own_us - min(group.received_us for group in groups)) / MICROS)
        for group in groups:
            if self._says_ends:
                self._markets[group.venue, group.symbol] = group.kind
            frame, trades, refused = framed(group, group.received_us - clocks.ahead_us, clocks.latest_us)
            self._refuse(refused, group.received_us)
            if frame is not None:
                stamp_ms = _timestamp_ms(group.received_us, clocks)
                self._publisher.put(Outgoing(TRADES, group.symbol, frame, stamp_ms, trades, group.venue))

    def _say_ends(self) -> None:
        """Publish, behind each market's last trades, that its recording is over."""
        now_us = _now_us()
        for (venue, symbol), kind in self._markets.items():
            frame = encode_end(venue, symbol, kind, now_us)
            self._publisher.put(Outgoing(TRADES, symbol, frame, _timestamp_ms(now_us, self._clocks.read())))

    def _refuse(self, rejects: Sequence[Reject], received_us: int) -> None:
        for refused in rejects:
            reason, value = refused.reason, self._refusals.letter(refused, self._clocks.now_us())
            timestamp_ms = _timestamp_ms(received_us, self._clocks.read())
            self._publisher.put(Outgoing(DEAD_LETTERS, reason, value, timestamp_ms, reason=reason))


def _timestamp_ms(received_us: int, clocks: Reading) -> int:
    """Return the record's time, by the clock that counts: a slow clock here must have nothing refused there."""
    now_us = clocks.own_us
    own_us = received_us if now_us - received_us < MAX_TIMESTAMP_AGE_US else now_us
    return (own_us - clocks.ahead_us) // 1000


def _now_us() -> int:
    return time.time_ns() // 1000


async def produce(
    settings: Settings,
    feeds: Sequence[Feed],
    *,
    stop: asyncio.Event,
    pace: Pacer | None = None,
    published_ids: PublishedIds | None = None,
    says_ends: bool = False,
) -> ProducerSummary:
    """Run a producer with its status page until its feeds end (recordings) or ``stop`` is set.

    With ``published_ids`` it leaves out what other producers have published. With ``says_ends`` it tells workers when
    recordings are read to their end, for rules that wait until a pane is over.

    Raises :class:`Fatal` where trades could not be published, the status port is taken, or a feed cannot go on.
    """
    if settings.log_level != "debug":
        # The client logs every attempt of an outage; the publisher says once what is awaited.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    producer = Producer(settings, feeds, pace=pace, published_ids=published_ids, says_ends=says_ends)
    tls = of_web_servers(settings)
    server = StatusServer(settings.web_host, settings.producer_metrics_port, producer.facts, tls)
    await server.start()
    for note in [note for feed in feeds for note in feed.notes]:
        log.warning("%s", note)
    followed = [feed.progress for feed in feeds if feed.progress is not None]
    shown = [asyncio.create_task(show_progress(progress, sys.stderr)) for progress in followed]
    try:
        return await producer.run(stop)
    finally:
        for task in shown:
            task.cancel()
        await asyncio.gather(*shown, return_exceptions=True)
        await server.stop()
