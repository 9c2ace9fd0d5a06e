"""Makes durable what changed in the markets of the partitions that this worker owns.

State is written behind: frames change markets in memory, and a flush makes everything durable before the offsets of
those frames are committed. :meth:`Keeper.flush` does steps 2 to 4 of a commit, and :meth:`Keeper.confirm` step 6. All
steps and their reasons are in ``docs/architecture.md``, "The order of a commit".

A worker that was frozen while its partition moved may flush when it wakes, before it hears of the move. Its records
then lie behind those of the new owner, which its store lacks. The broker refuses its commit, so it claims nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from streams import metrics
from streams.errors import Fatal, Outage
from streams.kafka.outbound import Outbound, Record
from streams.model.alert import Alert
from tables.loaded_markets import LoadedMarkets
from tables.market.admission import Admission
from tables.market.chunks import market_of, prefix, split_key
from tables.market.span import Span
from tables.market.state import Market
from tables.stale_writes import StaleWrites, Stretch
from tables.stores.base import NOTHING, Items, StateStore
from tables.stores.items import taken_from


class ChangelogClaim(NamedTuple):
    """How far in the changelog a flush has come. Compared by identity: a partition that moved has another one."""

    reached: int


ChangelogClaims = dict[int, ChangelogClaim]

MARKETS_A_STEP: Final = 64
"""Markets that a flush takes before others have a turn: a head and a chunk of each take about 2 ms to encode. A fast
replay changes several chunks of each, and takes up to 16 ms."""


TURNS_OF_A_FLUSH: Final = 8
"""Turns of the loop that a long flush has between two bundles. A replay of 1000 markets outran its flush with one: that
took 50 s, and what waited for it took 600 MB. An empty turn takes 0.1 ms."""

LONG_SECONDS: Final = 0.5
"""A flush that takes longer than this is long. That of some busy markets is over in a tenth of it."""


class Keeper(LoadedMarkets):
    """The markets in memory, and how they become durable.

    ``settle`` returns the rows of alerts that have grown since they were sent. ``alert_record`` turns one into a record
    for the broker. The other arguments are those of :class:`LoadedMarkets` and :class:`StaleWrites`.
    """

    def __init__(
        self,
        store: Callable[[], StateStore],
        changelog: str,
        span: Span,
        outbound: Outbound,
        settle: Callable[[int, Iterable[Market]], list[Alert]],
        alert_record: Callable[[Alert], Record],
        on_fatal: Callable[[Fatal], object] = lambda _: None,
        admission: Admission | None = None,
        on_idle: Callable[[Iterable[Market]], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        changelog_begin: Callable[[int], int | None] = lambda _: None,
        on_loaded: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(store, span, on_fatal, admission, on_idle, clock, on_loaded)
        self._changelog = changelog
        self._outbound = outbound
        self._settle = settle
        self._alert_record = alert_record
        self._stale = StaleWrites(changelog, outbound, changelog_begin)
        # Settled and encoded, and not yet everywhere it belongs: survives a flush that was cancelled half way.
        self._unsent: deque[Alert] = deque()
        self._unwritten: dict[int, dict[bytes, bytes]] = {}
        self._reached: dict[Market, int] = {}
        self._claims: ChangelogClaims = {}
        # The highest changelog offset that the broker has ever acknowledged to this worker, by partition.
        self.reached: dict[int, int] = {}
        self._lock = asyncio.Lock()
        self._clock = clock
        self._flushing_since: float | None = None

    def forget(self, partitions: Collection[int]) -> list[Market]:
        """Drop markets of partitions that have moved, and what is not durable of them; return them."""
        for partition in partitions:
            self._unwritten.pop(partition, None)
            self._claims.pop(partition, None)
            self._stale.forget(partition)
        return super().forget(partitions)

    async def flush(self) -> ChangelogClaims:
        """Make everything done so far durable: steps 2 to 4 of a commit. Waits as long as the broker takes.

        The result is for :meth:`confirm`, after the commit that follows.
        """
        async with self._lock:
            self._flushing_since = self._clock()
            try:
                return await self._flush()
            finally:
                self._flushing_since = None

    async def _flush(self) -> ChangelogClaims:
        started = time.perf_counter()
        await self._collect()
        is_idle = not self._reached
        while self._unsent:
            await self._outbound.post(self._alert_record(self._unsent[0]))
            self._unsent.popleft()
        await self._outbound.settle()
        for partition in list(self._unwritten):
            await self._write(partition)
        for market, watermark in self._reached.items():
            market.flushed_watermark = watermark
        self._reached.clear()
        self._drop_idle(self._unwritten)
        if not is_idle:
            metrics.flush_seconds.observe(time.perf_counter() - started)
        return dict(self._claims)

    async def give_way(self) -> None:
        """Let a flush go on that takes long: counting makes ever more to flush meanwhile."""
        for _ in range(TURNS_OF_A_FLUSH):
            if self._flushing_since is None or self._clock() - self._flushing_since < LONG_SECONDS:
                return
            await asyncio.sleep(0)

    async def confirm(self, claims: ChangelogClaims) -> None:
        """Let the stores remember how much of the changelog they hold: step 6, after the broker accepted the commit."""
        async with self._lock:
            for partition, claim in claims.items():
                if self._claims.get(partition) is not claim:
                    continue
                is_ours = partial(self._is_claimed, partition, claim)
                if await self._keep(partial(_reach, partition, claim.reached), is_ours):
                    del self._claims[partition]

    async def _collect(self) -> None:
        """Take what was touched before, in steps of some milliseconds between which others have a turn.

        A market is taken in one step with the rows of its alerts. What is touched after that is the next flush's. One
        that is touched again before its turn is taken as it is then: its alerts are on their way, and are waited for.
        """
        due = [(partition, list(touched)) for partition, touched in self._touched.items()]
        for partition, markets in due:
            for at in range(0, len(markets), MARKETS_A_STEP):
                if at or markets is not due[0][1]:
                    await asyncio.sleep(0)
                # The partition may have moved since, with its markets.
                touched = self._touched.get(partition, set())
                step = [market for market in markets[at : at + MARKETS_A_STEP] if market in touched]
                if step:
                    self._take(partition, step)

    def _take(self, partition: int, markets: list[Market]) -> None:
        self._touched[partition].difference_update(markets)
        self._unsent += self._settle(partition, markets)
        self._unwritten.setdefault(partition, {}).update(taken_from(markets, self.span))
        self._reached.update((market, market.watermark) for market in markets)
        self._idle.used(markets)

    async def _write(self, partition: int) -> None:
        items = self._unwritten.get(partition)
        if items is None:
            return
        # Before the store may claim what follows.
        await self._write_over_restored(partition)
        records = [Record(self._changelog, key, value, partition) for key, value in items.items()]
        delivered = await self._outbound.deliver(records)
        reached = max((where.offset for where in delivered), default=NOTHING)
        self.reached[partition] = max(reached, self.reached.get(partition, NOTHING))
        if not self._is_ours(partition, items):
            # The partition moved meanwhile: its local store must not claim a changelog that others write to now. And if
            # it came back, these values may be stale: whoever serves it looks at them as at anybody's.
            return
        self._stale.note(partition, delivered)
        if delivered:
            is_ours = partial(self._is_ours, partition, items)
            if not await self._keep(lambda store: store.save(partition, items), is_ours):
                return
            if (known := self._stale.known_to(partition, reached)) > NOTHING:
                self._claims[partition] = ChangelogClaim(known)
        self._unwritten.pop(partition, None)

    def foreign_writes(self, reached: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, tuple[Stretch, ...]]:
        """Return, by partition, what others wrote to the changelog, and nobody has :meth:`looked_at`.

        ``ends`` is where its partitions ended at a moment after :attr:`reached` was what ``reached`` says.
        """
        quiet = [
            partition
            for partition in self._partitions
            if not self._lock.locked() and self.reached.get(partition) == reached.get(partition)
        ]
        return self._stale.foreign(self._partitions, {partition: ends.get(partition, 0) for partition in quiet})

    def looked_at(self, partition: int, stretch: Stretch) -> None:
        """Forget a stretch that :meth:`foreign_writes` returned: what it holds is harmless now."""
        self._stale.looked_at(partition, stretch)

    async def restate_restored(self) -> None:
        """Write this worker's values again behind the stale ones that restores found."""
        for partition in list(self._partitions):
            async with self._lock:
                await self._write_over_restored(partition)

    async def restate(self, partition: int, stale: Items) -> None:
        """Write this worker's values again behind stale ones of the same keys."""
        async with self._lock:
            await self._write_over(partition, stale)

    async def _write_over_restored(self, partition: int) -> None:
        if partition not in self._partitions:
            return
        overtaken = self._store().overtaken(partition)
        stale = overtaken.take()
        try:
            is_done = await self._write_over(partition, stale)
        except BaseException:
            # Also a cancelled stop: what is forgotten here, a claim would pass over for good.
            overtaken.add(stale)
            raise
        if not is_done:
            overtaken.add(stale)

    async def _write_over(self, partition: int, stale: Items) -> bool:
        """Return false where the partition has moved meanwhile: what was loaded of it may be stale by now."""
        served = self._partitions.get(partition)
        own: dict[bytes, bytes] = {}
        for name in {market_of(key) for key in stale if split_key(key)[0]}:
            own |= await self._answered(partial(_items, partition, prefix(*name)))
        if served is None or self._partitions.get(partition) is not served:
            return False
        await self._stale.restate(partition, stale, own)
        return True

    def _is_ours(self, partition: int, items: dict[bytes, bytes]) -> bool:
        return self._unwritten.get(partition) is items

    def _is_claimed(self, partition: int, claim: ChangelogClaim) -> bool:
        return self._claims.get(partition) is claim

    async def _keep(self, write: Callable[[StateStore], Awaitable[None]], is_ours: Callable[[], bool]) -> bool:
        """Write to the store; return false where the partition moved while it was waited for."""
        try:
            await self._answered(write, wanted=is_ours)
        except Outage:
            if is_ours():
                raise
            return False
        return True


async def _reach(partition: int, reached: int, store: StateStore) -> None:
    await store.reach(partition, reached)


async def _items(partition: int, prefix: bytes, store: StateStore) -> dict[bytes, bytes]:
    return dict(await store.load(partition, prefix))
