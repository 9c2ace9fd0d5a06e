"""Faust's Kafka transport with additions: bundles, continuity, a flush before each commit, questions that give up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.unpacking import Refused
from streams.topics import SOURCES, TRADES
from streams.worker.application import Application
from streams.worker.bundles import Bundle, bundled, first_of
from streams.worker.changelog import Fetched, fetched_of
from streams.worker.client_thread import ConsumerThread
from streams.worker.continuity import Continuity, Step
from streams.worker.refused import end_if_refused, marked
from streams.worker.stalls import Stalls
from streams.worker.taken import Taken

# How soon a consumer that has no partition yet looks again: short beside a commit interval, long beside a loop's turn.
IDLE_SECONDS: Final = 0.01

# Bundles under way are few; entries of bundles that a rebalance dropped are forgotten beyond this. So many take about a
# megabyte per partition.
MAX_REMEMBERED: Final = 10_000

# Longer than any outage that a worker should sit out without a word; an alert that waits for Postgres says so itself.
STALLED_SECONDS: Final = 300.0

log = logging.getLogger(__name__)


class BundleMessage(driver.ConsumerMessage):  # type: ignore[misc]
    """A bundle as one of Faust's messages, which has no value of its own."""

    __slots__ = ("bundle",)

    bundle: Bundle


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Bundles the messages of ``trades``, commits inside ``app.around_commit()``, and loses nothing around a rebalance.

    :meth:`_commit_offsets` runs the steps of a commit.
    """

    app: Application

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By a message's offset, the first offset that it stands for. A bundle stands for its first message on, until it
        # is committed. What a fetch brought of a changelog is one message, with the gaps that compaction left in it.
        self._firsts: dict[TP, dict[int, int]] = {}
        self._sources = Continuity()
        self._changelogs = Continuity()
        self._seeking = asyncio.Lock()
        self._fetching: asyncio.Task[Any] | None = None
        # The next offset to be handled, by partition, and the partitions whose end that has been at since they moved.
        self._next: dict[TP, int] = {}
        self._caught_up: set[TP] = set()
        self._stalls = Stalls(STALLED_SECONDS)
        self._taken = Taken()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        # A copy: the set changes during a rebalance, and aiokafka takes an empty one for all partitions.
        wanted = set(active_partitions or ())
        if not wanted:
            await asyncio.sleep(IDLE_SECONDS)
            return {}
        records = {tp: found for tp, found in (await super()._getmany(wanted, timeout) or {}).items() if found}
        # Partitions may have been closed, or moved, since they were asked for: Faust would drop these unnoticed.
        while closed := [tp for tp in records if not self._is_open(tp)]:
            for tp in closed:
                del records[tp]
                await self._fetch_again(tp)
        for tp, found in records.items():
            self._continuity(tp).fetched(tp, first_of(found[0]))
            if tp.topic == TRADES:
                records[tp] = self._bundle(tp, found)
            elif self._is_source(tp):
                records[tp] = marked(found)
                self._firsts.setdefault(tp, {}).update(
                    (record.offset, record.first) for record in found if isinstance(record, Refused)
                )
            else:
                end_if_refused(found)
                self._firsts[tp] = {found[-1].offset: found[0].offset}
                records[tp] = [fetched_of(tp, found)]
        return records

    def _is_open(self, tp: TP) -> bool:
        return self.flow_active and (tp in self._get_active_partitions() or tp in self._buffered_partitions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's
        """Yield fetched messages without a hole. Those of changelogs go to the recovery instead, all of a fetch."""
        self._fetching = asyncio.current_task()
        async for tp, message in super().getmany(timeout):
            if not await self._follows(tp, message.offset):
                continue
            if isinstance(message, Fetched):
                # Nothing is awaited between the judgement and the store: a rebalance finds all of it there, or none.
                self.app.restore(tp, message)
                self._read_offset[tp] = message.offset
            else:
                if self._is_source(tp):
                    self._taken.took(tp, message.offset)
                yield tp, message

    def _to_message(self, tp: TP, record: Any) -> Any:
        if isinstance(record, Bundle):
            message = BundleMessage(
                tp.topic, tp.partition, record.offset, record.timestamp_ms / 1000, 0, None, None, None, None, 0, 0, tp,
                generation_id=self.app.consumer_generation_id,
            )  # fmt: skip
            message.bundle = record
            return message
        return record if isinstance(record, Fetched) else super()._to_message(tp, record)

    async def _follows(self, tp: TP, last: int) -> bool:
        step = self._continuity(tp).judge(tp, self._first(tp, last), last)
        if step is Step.REWIND:
            await self._fetch_again(tp)
        return step is Step.TAKE

    async def _fetch_again(self, tp: TP) -> None:
        offset = self._continuity(tp).wanted(tp)
        if offset is not None:
            await self._thread.rewind(tp, offset)

    def _continuity(self, tp: TP) -> Continuity:
        return self._sources if self._is_source(tp) else self._changelogs

    def _first(self, tp: TP, last: int) -> int:
        return self._firsts.get(tp, {}).get(last, last)

    def _bundle(self, tp: TP, found: Sequence[Any]) -> list[Bundle]:
        bundles = list(bundled(found))
        firsts = self._firsts.setdefault(tp, {})
        if len(firsts) > MAX_REMEMBERED:
            committed = self._committed_offset[tp] or 0
            self._firsts[tp] = firsts = {last: first for last, first in firsts.items() if last >= committed}
        firsts.update((bundle.offset, bundle.first) for bundle in bundles)
        return bundles

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: a message that was acknowledged stands for every offset before it."""
        if not self._is_source(tp):
            offset: int | None = super()._new_offset(tp)
            return offset
        acked = self._acked_index[tp]
        beyond = self._taken.to_commit(tp, acked)
        if beyond is not None:
            self._acked[tp] = sorted(acked)
            self._firsts[tp] = {last: first for last, first in self._firsts.get(tp, {}).items() if last >= beyond}
        return beyond

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Say that the log lacks offsets, which Faust takes those within a bundle for."""
        if not self._is_source(tp):
            await super()._add_gap(tp, offset_from, offset_to)
        elif offset_from < (first := self._first(tp, offset_to)):
            log.warning("the broker has no offsets %d to %d of %s any more", offset_from, first - 1, tp)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets of all assigned partitions; to the beginning where there is none.

        Faust does this from two tasks at once, the fetcher's and the recovery's. If one opened the partitions before
        the other goes back, what is taken in between would be met again. So in a rebalance only the recovery seeks.
        """
        if self.app.rebalancing and asyncio.current_task() is self._fetching:
            return
        async with self._seeking:
            try:
                await self._seek_committed()
            except Exception as error:
                # The fetcher only logs it, and nothing more would be taken. In a rebalance, which may begin under the
                # fetcher's seek, the recovery seeks again before it ends; it lets the flow on earlier.
                if self.flow_active and not self.app.rebalancing and not self.app.should_stop:
                    await self.crash(error)
                raise

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go on from these offsets of changelogs; a recovery has read what is before them."""
        self._changelogs.begin(partitions)
        await super().seek_wait(partitions)

    async def _seek_committed(self) -> None:
        self._sources.forget()
        self._taken.forget()
        self.app.drop_queued()
        await super().perform_seek()
        sources = [tp for tp in self.assignment() if self._is_source(tp)]
        begins = {tp: offset for tp in sources if (offset := self._read_offset.get(tp))}
        fresh = [tp for tp in sources if tp not in begins]
        if fresh:
            await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, fresh))
            begins |= await self.earliest_offsets(*fresh)
        self._next |= begins
        for tp in self._sources.begin(begins):
            await self._thread.rewind(tp, begins[tp])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish and commit what was begun, so that the next owner meets none of it again.

        Faust does this too, but only after it has forgotten what was acknowledged since the last commit, and not in an
        app that is stopping. What waits for Postgres or for a right clock is let go. Otherwise the move would wait too,
        and nobody would serve the windows meanwhile.
        """
        self._caught_up.clear()
        self._next.clear()
        self._stalls.forget()
        # Until it is said where to begin: what a fetch brings that is under way belongs to neither assignment.
        self._sources.forget()
        self._changelogs.forget()
        if assigned := self.assignment():
            self.stop_flow()
            self.app.flow_control.suspend()
            self.pause_partitions(assigned)
            self.app.flow_control.clear()
            with self.app.releasing():
                await self.wait_empty()
        await super().on_partitions_revoked(revoked)
        self._taken.forget()

    async def commit_and_end_transactions(self) -> None:
        """Commit all that is acknowledged by now. A commit under way, which Faust would trust, may lack the last."""
        while (running := self._commit_fut) is not None:
            await asyncio.wait([running])
            if running.cancelled():
                # Someone else who waited for it was; the commit goes on, and sets no other future until it is done.
                await asyncio.sleep(IDLE_SECONDS)
        await super().commit_and_end_transactions()

    def handled(self, message: Any) -> None:
        """Count a message as wholly handled: the partition goes on behind it."""
        self._next[message.tp] = message.offset + 1

    def restored_to(self, tp: TP) -> int | None:
        """Return the offset behind what a recovery has read of a changelog; None while partitions move."""
        return None if self.app.rebalancing else self._changelogs.next(tp)

    def next_offset(self, tp: TP) -> int | None:
        """Return the next offset of a partition to be handled; None until it is known where that is to begin."""
        return self._next.get(tp)

    def log_end(self, tp: TP) -> int | None:
        """Return where a partition ended when it was last fetched; None before that, and while it moves."""
        try:
            end: int | None = self.highwater(tp)
        except Exception:  # noqa: BLE001 - aiokafka's client raises many things while partitions move
            return None
        return end

    def has_caught_up(self, tp: TP) -> bool:
        """Whether a partition was handled up to its end once since it moved here, so that nothing is missing."""
        if tp not in self._caught_up:
            end = self.log_end(tp)
            if end is not None and self._next.get(tp, -1) >= end:
                self._caught_up.add(tp)
        return tp in self._caught_up

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say when a partition stands still although messages wait in it; Faust asks every few seconds."""
        at, end = self.next_offset(tp), self.log_end(tp)
        if at is None or end is None or not self._is_source(tp):
            return
        stalled_seconds = self._stalls.stalled_seconds(tp, at=at, end=end, now=now)
        if stalled_seconds is not None:
            log.error(
                "partition %d of %s has stood at offset %d for %.0f s, and %d messages wait behind it; "
                "the lines before this one may say what for",
                tp.partition,
                tp.topic,
                at,
                stalled_seconds,
                end - at,
            )

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust's check counts from the start of its thread. Its recovery says how far it is."""

    def withhold(self, message: Any) -> None:
        """Let go of a message without committing it: whoever has its partition next handles it."""
        message.acked = True
        self._unacked_messages.discard(message)

    async def log_ends(self, tps: Collection[TP], timeout_seconds: float) -> Mapping[TP, int]:
        """Return the end offsets of partitions. Raises :class:`TimeoutError`, also if both lanes are taken."""
        async with asyncio.timeout(timeout_seconds):
            ends: Mapping[TP, int] = await self._thread.log_ends(tps, timeout_seconds)
        return ends

    @staticmethod
    def _is_source(tp: TP) -> bool:
        return tp.topic in SOURCES

    async def _commit_offsets(self, offsets: dict[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        """Run the steps of a commit; ``docs/architecture.md``, "The order of a commit", says what they are and why.

        Faust has chosen ``offsets`` (step 1). Each further step is awaited: flush (2 to 4), commit (5), claim (6).
        """

        async def commit() -> bool:
            return bool(await super(Consumer, self)._commit_offsets(offsets, start_new_transaction))

        return await self.app.around_commit(commit)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer: Any = Consumer
