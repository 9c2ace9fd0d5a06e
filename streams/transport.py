"""Faust's Kafka transport with additions: bundles, a flush before each commit, and the broker's wait as a setting."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.bundles import bundled, first_offset
from streams.topics import ALERTS, TRADES

SOURCES: Final = frozenset({TRADES, ALERTS})
SEEK_POLL_SECONDS: Final = 0.01

# Bundles under way are few; entries of bundles that a rebalance dropped are forgotten beyond this.
MAX_REMEMBERED: Final = 10_000

log = logging.getLogger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Asks the broker to wait for new records no longer than ``FETCH_MAX_WAIT_MS``; Faust says 1.5 s.

    Kafka answers as soon as there is a byte, but the embedded broker lets the whole wait pass.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.settings.fetch_max_wait_ms
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Bundles the messages of ``trades``, commits after ``app.before_commit()``, and loses nothing around a seek.

    The offsets to commit have been chosen by the time state is flushed, so what is flushed contains all of them.

    Faust's own seek to the committed offsets loses messages, and commits past them: it asks for one partition after
    another while fetching goes on, so messages that come meanwhile are judged by read offsets of the past and
    dropped, and then taken for a gap in the log; and a partition without a commit is not sought at all. Here nothing
    of the source topics is fetched during a seek, and what a fetch brings that began before it is not used: it comes
    again.
    """

    _seeking = 0
    _seeks = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The first offset of each bundle that is not committed yet, by its last.
        self._firsts: dict[TP, dict[int, int]] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        # A copy: the set changes during a rebalance, and aiokafka takes an empty one for all partitions.
        wanted = {tp for tp in active_partitions or () if not (self._seeking and self._is_source(tp))}
        if not wanted:
            await asyncio.sleep(SEEK_POLL_SECONDS)
            return {}
        seeks = self._seeks
        records = await super()._getmany(wanted, timeout)
        if seeks != self._seeks:
            records = {tp: found for tp, found in records.items() if not self._is_source(tp)}
        for tp in records or ():
            if tp.topic == TRADES:
                records[tp] = self._bundle(tp, records[tp])
        return records

    def _bundle(self, tp: TP, records: Sequence[Any]) -> list[Any]:
        bundles = list(bundled(records))
        firsts = self._firsts.setdefault(tp, {})
        if len(firsts) > MAX_REMEMBERED:
            committed = self._committed_offset[tp] or 0
            self._firsts[tp] = firsts = {last: first for last, first in firsts.items() if last >= committed}
        firsts.update((bundle.offset, first_offset(bundle)) for bundle in bundles)
        return bundles

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: a bundle that was acknowledged stands for every message it held."""
        firsts = self._firsts.get(tp)
        if firsts:
            acked, index = self._acked[tp], self._acked_index[tp]
            committed = self._committed_offset[tp] or 0
            for last in list(acked):
                held = [at for at in range(max(firsts.pop(last, last), committed), last) if at not in index]
                index.update(held)
                acked += held
        offset: int | None = super()._new_offset(tp)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Let Faust commit past what retention has removed, and past nothing else.

        Faust calls this when a message does not follow the one before it. Within a bundle there is no gap. Any other
        is messages that were skipped on the way, unless the broker has removed them: the process ends before they are
        committed past, and reads them again.
        """
        first = self._firsts.get(tp, {}).get(offset_to, offset_to)
        if not self._is_source(tp):
            await super()._add_gap(tp, offset_from, offset_to)
        elif offset_from < first:
            if (await self.earliest_offsets(tp)).get(tp, 0) < first:
                self.app.skipped(tp, offset_from, first)
            log.warning("the broker removed offsets %d to %d of %s before they were read", offset_from, first - 1, tp)
            await super()._add_gap(tp, offset_from, first - 1)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets of all assigned partitions; to the beginning where there is none."""
        self._seeking += 1
        self._seeks += 1
        try:
            await super().perform_seek()
            fresh = [tp for tp in self.assignment() if self._is_source(tp) and not self._read_offset.get(tp)]
            if fresh:
                await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, fresh))
        finally:
            self._seeking -= 1

    @staticmethod
    def _is_source(tp: TP) -> bool:
        return tp.topic in SOURCES

    async def _commit_offsets(self, offsets: dict[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        claims = await self.app.before_commit()
        is_done = bool(await super()._commit_offsets(offsets, start_new_transaction))
        if is_done:
            await self.app.after_commit(claims)
        return is_done


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer: Any = Consumer
