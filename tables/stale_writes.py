"""What others wrote to the changelog of a partition, and how its owner makes that harmless.

A worker that was frozen while its partition moved may flush once more when it wakes. Its values then lie behind newer
ones of the same keys, and compaction keeps the last record of a key. So the owner looks for what others wrote, and
writes its own values again behind them. See decision 0037.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from streams import metrics
from streams.kafka.outbound import Delivered, Outbound, Record
from tables.stores.base import NOTHING, Items, newer

log = logging.getLogger(__name__)

# A worker that wakes writes one flush. Of more than this the first two become one, with what lies between them.
MAX_STRETCHES: Final = 1000


class Stretch(NamedTuple):
    """Offsets of one partition, from ``start`` up to and not including ``end``."""

    start: int
    end: int


class OwnWrites:
    """Follows a partition's log by what its owner wrote: offsets in between are somebody else's.

    What the owner wrote and never heard of counts as foreign too: to write its values again does no harm.
    """

    def __init__(self, begin: int) -> None:
        self._next = begin
        self._foreign: list[Stretch] = []

    def wrote(self, offsets: Iterable[int]) -> None:
        """Take note of where the owner's records are."""
        for offset in sorted(offsets):
            self.ends_at(offset)
            self._next = max(self._next, offset + 1)

    def ends_at(self, end: int) -> None:
        """Take note of where the log ends while no record of the owner's is under way."""
        if end > self._next:
            self._foreign.append(Stretch(self._next, end))
            if len(self._foreign) > MAX_STRETCHES:
                # The owner's own values in between do no harm: none of them is older than what is kept.
                self._foreign[:2] = [Stretch(self._foreign[0].start, self._foreign[1].end)]
            self._next = end

    @property
    def foreign(self) -> tuple[Stretch, ...]:
        """The stretches that others wrote, and that nobody has looked at."""
        return tuple(self._foreign)

    def looked_at(self, stretch: Stretch) -> None:
        """Forget a stretch: what it holds is harmless now."""
        if stretch in self._foreign:
            self._foreign.remove(stretch)

    def known_to(self, offset: int) -> int:
        """Return how much of the log up to ``offset`` a store may claim: nothing that nobody has looked at.

        The partition may move before somebody has. The next restore, by whomever, must meet it then.
        """
        return min(offset, self._foreign[0].start - 1) if self._foreign else offset


class StaleWrites:
    """Follows the changelog's partitions that this worker owns.

    ``begin`` returns the offset behind what was restored of a partition, None where that is not known yet.
    """

    def __init__(self, changelog: str, outbound: Outbound, begin: Callable[[int], int | None]) -> None:
        self._changelog = changelog
        self._outbound = outbound
        self._begin = begin
        self._writes: dict[int, OwnWrites] = {}

    def note(self, partition: int, delivered: Iterable[Delivered]) -> None:
        """Take note of where this worker's records are."""
        if (own := self._own(partition)) is not None:
            own.wrote(where.offset for where in delivered)

    def foreign(self, partitions: Collection[int], quiet_ends: Mapping[int, int]) -> dict[int, tuple[Stretch, ...]]:
        """Return, by partition, what others wrote, and nobody has :meth:`looked_at`.

        ``quiet_ends`` is where those partitions end in which no record of this worker is under way.
        """
        found = {}
        for partition in partitions:
            if (own := self._own(partition)) is not None:
                own.ends_at(quiet_ends.get(partition, 0))
                if own.foreign:
                    found[partition] = own.foreign
        return found

    def looked_at(self, partition: int, stretch: Stretch) -> None:
        """Forget a stretch: what it holds is harmless now."""
        if (own := self._writes.get(partition)) is not None:
            own.looked_at(stretch)

    def known_to(self, partition: int, offset: int) -> int:
        """Return how much of a partition up to ``offset`` a store may claim; below 0 where that is nothing."""
        own = self._own(partition)
        return NOTHING if own is None else own.known_to(offset)

    async def restate(self, partition: int, stale: Items, own: Items) -> None:
        """Send own values again where a stale one of the same key lies behind them."""
        records = [
            Record(self._changelog, key, own[key], partition)
            for key, value in stale.items()
            if key in own and own[key] != value and newer(value, own[key])
        ]
        if not records:
            return
        writes = self._own(partition)
        delivered = await self._outbound.deliver(records)
        if writes is not None:
            # The partition may have come back meanwhile: what follows it now knows nothing of these, and looks at them.
            writes.wrote(where.offset for where in delivered)
        metrics.restated_records.inc(len(records))
        log.warning(
            "a worker that had lost partition %d wrote %d old values of its state; wrote ours again behind them",
            partition,
            len(records),
        )

    def forget(self, partition: int) -> None:
        """Forget a partition that has moved."""
        self._writes.pop(partition, None)

    def _own(self, partition: int) -> OwnWrites | None:
        own = self._writes.get(partition)
        if own is None and (begin := self._begin(partition)) is not None:
            own = self._writes[partition] = OwnWrites(begin)
        return own
