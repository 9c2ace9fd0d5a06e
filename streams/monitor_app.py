"""The worker's application: its parts, how they start and stop, and what ends the process.

What the parts do is in :mod:`agents` and :mod:`tables`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NoReturn, TypeVar, cast

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from faust.types import TP

from agents.counting.monitor import Monitor, SourceMessage, alert_record
from agents.counting.row_batches import RowBatches
from agents.counting.row_evaluation import RowEvaluator
from agents.counting.source_rows import SourceRows
from agents.rules.book import rule_book
from agents.sinks import Sinks
from agents.stats.sampler import Sampler
from streams import metrics
from streams.data_directory import hold_directory
from streams.errors import Fatal, MonitorError, Outage
from streams.kafka import admin
from streams.kafka.broker_clock import BrokerClock, ClockProbe
from streams.kafka.broker_watch import BrokerWatch
from streams.kafka.columns import Columns
from streams.kafka.outbound import Outbound, Record
from streams.kafka.partitioning import partition_of
from streams.kafka.stretches import read_stretch
from streams.model.alert import Alert
from streams.redis_start import check_redis
from streams.settings import Settings
from streams.topics import APP_ID, TRADES
from streams.venues.json_rows import RowReader
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import listed_markets, make_venues
from streams.view import WorkerView
from streams.worker.application import Application
from streams.worker.bundles import Item
from streams.worker.changelog import Fetched
from streams.worker.ending import Ending, die, die_of_bug, leave
from streams.worker.garbage import give_back, give_back_for_ever
from streams.worker.options import faust_options
from streams.worker.record_clock import RecordClock
from streams.worker.recovery import FlowControl, TableManager
from streams.worker.transport import Transport
from streams.worker.watchdog import Watchdog
from tables.keeper import Keeper
from tables.live import LiveWindows, live_link
from tables.market.admission import Admission
from tables.market.span import Span
from tables.market.state import Market
from tables.restating import Restating
from tables.serving import ServedMarkets
from tables.stale_writes import Stretch
from tables.stores.base import StateStore
from tables.stores.rocks import is_of_disk
from tables.stores.wiped import carry_over

log = logging.getLogger(__name__)

T = TypeVar("T")
# One message, or rows that follow each other.
Source = TypeVar("Source", SourceMessage, SourceRows)


class MonitorApp(faust.App):  # type: ignore[misc]
    """The application with its parts: ``keeper`` (markets), ``market_monitor`` (messages), ``sinks``."""

    def __init__(self, conf_: Settings) -> None:
        self.settings = conf_
        super().__init__(APP_ID, TableManager=TableManager, **faust_options(conf_))
        self.ending = Ending()
        self.outbound = Outbound(self._send)
        self.clock_probe = ClockProbe(BrokerClock(), self._send)
        self.record_clock = RecordClock(self.clock_probe, limit_seconds=conf_.max_clock_skew_seconds)
        self.span = Span(window=conf_.window_seconds, retention=conf_.retention_seconds)
        self.evaluator = RowEvaluator(
            rule_book(conf_),
            window=self.span.window,
            cooldown=conf_.alert_cooldown_sec,
            max_future_us=conf_.max_future_seconds * 1_000_000,
        )
        self.panes = self.Table("panes", key_type=bytes, value_type=bytes, partitions=conf_.topic_partitions)
        venues = make_venues(conf_)
        for venue in venues:
            metrics.venue_label(venue.name)
        listed = listed_markets(venues)
        metrics.list_markets(listed)
        self.keeper = Keeper(
            store=lambda: cast("StateStore", self.panes.data),
            changelog=self.panes.changelog_topic_name,
            span=self.span,
            outbound=self.outbound,
            settle=self._settle,
            alert_record=alert_record,
            on_fatal=die,
            admission=Admission(
                listed,
                most=conf_.max_markets_per_partition,
                new_per_minute=conf_.new_markets_per_minute,
                only_listed=conf_.only_listed_markets,
            ),
            on_idle=self.evaluator.drop,
            changelog_begin=self._changelog_begin,
            on_loaded=give_back,
        )
        venue_names = {venue.name: venue.display_name for venue in venues}
        self.market_monitor = Monitor(
            self.evaluator,
            self.keeper,
            self.outbound,
            home=self.home,
            rows=RowReader(venues),
            now=self.record_clock.own.now,
        )
        self.row_batches = RowBatches(
            self.market_monitor, self.evaluator, self.keeper, PlainReader(venues), may_go_on=self._may_go_on
        )
        self.sinks = Sinks(
            conf_,
            on_fatal=die,
            refuse=self.market_monitor.refuse_alert,
            venue_names=venue_names,
            now=self.record_clock.own.now,
        )
        self.view = WorkerView(
            self,
            conf_,
            keeper=self.keeper,
            rules=self.evaluator.rules,
            sinks=self.sinks,
            ending=self.ending,
            record_clock=self.record_clock,
            home=self.home,
            venue_names=venue_names,
            numbered_venues={venue.name for venue in venues if venue.numbers_trades},
        )
        self.served = ServedMarkets(self.view)
        self.redis = live_link(conf_)
        self.live_windows = LiveWindows(self.redis, self.served)
        self.sampler = Sampler(self.view, self.served, conf_)
        self.watchdog = Watchdog(conf_.commit_deadline_seconds, self.view.progress, self._waiting, die)
        self.broker_watch = BrokerWatch(
            conf_,
            self.panes.changelog_topic_name,
            lambda: self.keeper.reached,
            die,
            Restating(self.keeper, self._read_changelog).look,
        )

    @cached_property
    def flow_control(self) -> FlowControl:
        """The flow of messages into the queues of streams."""
        return FlowControl(loop=self.loop)

    def _new_transport(self) -> Transport:
        application: Application = self
        return Transport(self.conf.broker_consumer, application, loop=self.loop)

    async def _send(self, record: Record) -> Any:
        # What the broker forgets and compacts goes by the times of records.
        timestamp = record.timestamp or self.record_clock.own.now()
        try:
            return await self.producer.send(record.topic, record.key, record.value, record.partition, timestamp, None)
        except ProducerSendError as error:
            # Faust hides what the client says in an error of its own.
            raise error.__cause__ or error from None

    def _settle(self, partition: int, markets: Iterable[Market]) -> list[Alert]:
        return self.evaluator.settle_all(partition, iter(markets))

    def _changelog_begin(self, partition: int) -> int | None:
        begin: int | None = self.consumer.restored_to(TP(self.panes.changelog_topic_name, partition))
        return begin

    async def _read_changelog(self, partition: int, stretch: Stretch) -> dict[bytes, bytes]:
        return await read_stretch(self.settings, self.panes.changelog_topic_name, partition, *stretch)

    def home(self, symbol: str) -> int:
        """Return the partition of a symbol."""
        return partition_of(symbol, self.consumer.topic_partitions(TRADES) or self.settings.topic_partitions)

    def restore(self, tp: TP, fetched: Fetched) -> None:
        """Give the store of a table what was fetched of its changelog."""
        try:
            self.tables.recovery.take(tp, fetched)
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are not there
            self.cannot_store(error)

    def on_rebalance_end(self) -> None:
        """Load the markets of the partitions that are restored now: a worker that is ready has them."""
        super().on_rebalance_end()
        self.keeper.begin_loads(self.view.partitions())

    def drop_queued(self) -> None:
        """Empty the queues of streams, whose partitions are about to be fetched again; changelogs keep theirs."""
        self.flow_control.drop(keep=self.tables.changelog_queue)

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """Let go, inside the block, of alerts that wait for Postgres, and of trades that wait for a right clock.

        Their partitions move to another worker.
        """
        with self.sinks.letting_go(), self.record_clock.letting_go():
            yield

    async def around_commit(self, commit: Callable[[], Awaitable[bool]]) -> bool:
        """Take steps 2 to 6 of "The order of a commit" in ``docs/architecture.md``: ``commit`` is step 5."""
        claims = await self._to_store(self.keeper.flush())
        is_done = await commit()
        if is_done:
            await self._to_store(self.keeper.confirm(claims))
        return is_done

    async def _to_store(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be acknowledged
            self.cannot_store(error)
        return await self.ending.over()

    def cannot_store(self, error: Exception) -> None:
        """Begin to end: the table store failed, and nothing may be acknowledged, or judged, that is not in it.

        Of a disk that is full others learn by /readyz too; from anything else the process ends at once.
        """
        if isinstance(error, MonitorError):
            self._end(error)
        where = self.conf.tabledir if self.settings.table_store.startswith("rocksdb:") else "of TABLE_STORE"
        if not is_of_disk(error):
            die_of_bug(error, "the table store %s cannot be written", where)
        if not self.ending.has_begun:
            log.critical("the table store %s cannot be written: %s", where, error)
        self.ending.begin(
            Outage("stopping; start again when the table store can be written, to go on from the last commit")
        )

    async def count(self, partition: int, parts: Iterable[Columns | Item]) -> bool:
        """Handle the messages of a bundle; return false where that must not be acknowledged: the rest is let go.

        What comes before a message that must wait for the clock is counted meanwhile.
        """
        clock = self.record_clock
        for part in parts:
            if isinstance(part, Item):
                judged_by = await clock.time_of(part.timestamp_ms, is_brokers=part.is_brokers_time)
                if judged_by is None:
                    return False
                message = SourceMessage(part.value, partition, part.offset, judged_by, part.refused)
                await self.guarded(self.market_monitor.handle, message)
            else:
                times = await clock.times_of(part.timestamps_ms, are_brokers=part.are_brokers_times)
                if times is None:
                    return False
                rows = SourceRows(partition, part.offsets, times, part.values, part.sizes)
                await self.guarded(self.row_batches.handle, rows)
        return True

    async def _may_go_on(self) -> None:
        if self.ending.has_begun:
            await self.ending.over()

    async def guarded(self, handle: Callable[[Source], Awaitable[T]], message: Source) -> T:
        """Run a handler that must not raise: Faust acknowledges a message whose agent raised.

        A bug ends the process. In one that is ending no more messages are handled.
        """
        await self._may_go_on()
        try:
            return await handle(message)
        except (Outage, Fatal) as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be acknowledged
            die_of_bug(
                error,
                "a message could not be handled (partition %d, offset %d); stopping before it is acknowledged",
                message.partition,
                message.offset,
            )

    async def start(self) -> None:
        """Start everything. A broker that goes away meanwhile ends the process where Faust's clients do not wait."""
        try:
            await super().start()
        except KafkaError as error:
            self._end_for_broker(error)
            raise
        # By the client that is started now; what needs the clock waits for the first answer.
        self.record_clock.measure()

    def _crash(self, reason: BaseException) -> None:
        if isinstance(reason, Outage):
            self._end(reason)
        if isinstance(reason, KafkaError):
            self._end_for_broker(reason)
        super()._crash(reason)

    def _end(self, error: MonitorError) -> NoReturn:
        if isinstance(error, Outage) and self._was_told_to_end():
            leave(error)
        die(error)

    def _end_for_broker(self, error: KafkaError) -> None:
        # A client that is closed under a rebalance raises anything, also that the broker refuses it.
        if self._was_told_to_end():
            leave(error)
        found = admin.verdict(error)
        if found is not None:
            die(found)

    def _was_told_to_end(self) -> bool:
        return self._stopped.is_set() and not self._crashed.is_set()

    async def on_first_start(self) -> None:
        """Wait for the broker and the database before anything is consumed."""
        try:
            if self.settings.table_store.startswith("rocksdb:"):
                hold_directory(self.settings.data_dir)
            await check_redis(self.settings, has_tables=True)
            changelogs = {self.panes.changelog_topic_name: admin.CHANGELOG_CONFIG}
            is_stamped = await admin.until_served(self.settings, lambda: admin.ensure_topics(self.settings, changelogs))
            if self.settings.table_store.startswith("rocksdb:"):
                await self._carry_over()
        except Fatal as error:
            die(error)
        self.record_clock.know(is_stamped=is_stamped)
        await self.sinks.start()
        await self.sampler.start()
        await self.broker_watch.start()
        await self.watchdog.start()
        await self.live_windows.start()
        self.add_future(give_back_for_ever())
        await super().on_first_start()

    async def _waiting(self) -> int:
        committed = {partition: self.view.committed_offset(partition) for partition in self.view.partitions()}
        if not committed or await self.view.is_held_up():
            return 0
        return await admin.waiting(self.settings, TRADES, committed)

    async def _carry_over(self) -> None:
        changelog = self.panes.changelog_topic_name
        cluster = await admin.until_served(self.settings, lambda: admin.cluster_id(self.settings))
        ends = await admin.until_served(self.settings, lambda: admin.end_offsets(self.settings, changelog))
        producer = await admin.until_served(self.settings, lambda: admin.open_producer(self.settings))
        try:
            outbound = Outbound(lambda record: producer.send(record.topic, record.value, record.key, record.partition))
            await self._to_store(
                carry_over(self.conf.tabledir, self.panes.name, changelog, cluster, ends, outbound.deliver)
            )
        finally:
            await producer.stop()

    async def on_stop(self) -> None:
        """Stop consuming, then close the sinks."""
        await self.sampler.stop()
        await self.broker_watch.stop()
        await self.watchdog.stop()
        await self.live_windows.stop()
        self.keeper.close()
        self.sinks.close()
        await self.record_clock.stop()
        await super().on_stop()
        await self.sinks.stop()
