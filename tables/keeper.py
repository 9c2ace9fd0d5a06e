"""Keeps the markets of the partitions this worker owns: loads them from the store, and makes them durable.

State is written behind: frames change markets in memory, and a flush makes everything durable before the offsets of
those frames are committed. :meth:`Keeper.flush` does steps 2 to 4 of a commit, and :meth:`Keeper.confirm` step 6. All
steps and their reasons are in ``docs/architecture.md``, "The order of a commit".

A worker that was frozen while its partition moved may flush when it wakes, before it hears of the move. Its records
then lie behind those of the new owner, which its store lacks. The broker refuses its commit, so it claims nothing.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from streams import metrics
from streams.errors import Fatal, Outage
from streams.kafka.outbound import Outbound, Record
from streams.model.alert import Alert
from streams.model.kinds import MarketKind
from tables.market.admission import Admission
from tables.market.chunks import market_of, prefix, split_key
from tables.market.formats import NewerState
from tables.market.idle import Idle
from tables.market.state import Market, Span
from tables.stale_writes import StaleWrites, Stretch
from tables.stores.base import Items, StateStore
from tables.stores.items import market_from, taken_from
from tables.stores.patience import until_answered

log = logging.getLogger(__name__)

T = TypeVar("T")


class ChangelogClaim(NamedTuple):
    """How far in the changelog a flush has come. Compared by identity: a partition that moved has another one."""

    reached: int


ChangelogClaims = dict[int, ChangelogClaim]


class Keeper:
    """The markets in memory, by partition.

    ``settle`` returns the rows of alerts that have grown since they were sent. ``alert_record`` turns one into a record
    for the broker. ``store_answers`` is false while the keeper waits for the table store. ``on_fatal`` ends the
    process: it is told of state that a newer release wrote, where that is found before a message asks for it.

    A market that is not listed, and was not touched for as long as its panes are kept, leaves memory. ``on_idle`` is
    told. What is stored of it stays, and its next message loads it as it was. ``clock`` gives seconds.
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
    ) -> None:
        self._store = store
        self._changelog = changelog
        self._span = span
        self._outbound = outbound
        self._settle = settle
        self._alert_record = alert_record
        self._on_fatal = on_fatal
        self._admission = admission or Admission()
        self._idle = Idle(span.retention, clock)
        self._on_idle = on_idle
        self._stale = StaleWrites(changelog, outbound, changelog_begin)
        self._partitions: dict[int, dict[tuple[str, str], Market]] = {}
        self._touched: dict[int, set[Market]] = {}
        self._loads: dict[int, asyncio.Task[None]] = {}
        # The (rule, pane) of alerts that a market had when it was loaded.
        self._restored_alerts: dict[Market, frozenset[tuple[str, int]]] = {}
        # Settled and encoded, and not yet everywhere it belongs: survives a flush that was cancelled half way.
        self._unsent: deque[Alert] = deque()
        self._unwritten: dict[int, dict[bytes, bytes]] = {}
        self._reached: dict[Market, int] = {}
        self._claims: ChangelogClaims = {}
        # The highest changelog offset that the broker has ever acknowledged to this worker, by partition.
        self.reached: dict[int, int] = {}
        self._lock = asyncio.Lock()
        self._is_closing = False
        self.store_answers = True

    async def market(
        self, partition: int, venue: str, symbol: str, kind: MarketKind | None = None, *, at_seconds: float = 0.0
    ) -> Market:
        """Return a market, loaded from the store on first use.

        Raises :class:`BadRecord` for one that is not kept (:mod:`tables.market.admission`), and :class:`NewerState`
        where a newer release wrote the market's state.

        ``kind`` is that of a market of which nothing is stored yet; the symbol says it where it is None. The message
        that asks for it is of ``at_seconds``. The caller is about to change the market: it will be part of the next
        flush.
        """
        markets = self._partitions.setdefault(partition, {})
        market = markets.get((venue, symbol))
        if market is None:
            self._admission.check(partition, venue, symbol, len(markets))
            found = await self._load(partition, venue, symbol)
            if found is None:
                self._admission.check_new(partition, venue, symbol, at_seconds)
                found = Market(venue, symbol, self._span, kind)
            market = self._take_in(markets, found)
        self.touch(partition, market)
        return market

    async def known(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Return a market as :meth:`market` does, None where there is nothing of it, or no room: it is not made."""
        markets = self._partitions.setdefault(partition, {})
        market = markets.get((venue, symbol))
        if market is None:
            if not self._admission.may_load(venue, symbol, len(markets)):
                return None
            found = await self._load(partition, venue, symbol)
            if found is None:
                return None
            market = self._take_in(markets, found)
        self.touch(partition, market)
        return market

    def held(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Return a market that is in memory."""
        return self._partitions.get(partition, {}).get((venue, symbol))

    def touch(self, partition: int, market: Market) -> None:
        """Put a changed market into the next flush, unless its partition has moved."""
        if self._partitions.get(partition, {}).get((market.venue, market.symbol)) is market:
            self._touched.setdefault(partition, set()).add(market)
        else:
            # Nothing here flushes it any more: it must not wait for that.
            market.flushed_watermark = market.watermark

    async def _load(self, partition: int, venue: str, symbol: str) -> Market | None:
        items = await self._answered(lambda store: store.load(partition, prefix(venue, symbol)))
        return market_from(items, venue, symbol, self._span)

    def _take_in(self, markets: dict[tuple[str, str], Market], loaded: Market) -> Market:
        """Put a market among those in memory. Return the one that is there already where another load was faster."""
        market = markets.setdefault((loaded.venue, loaded.symbol), loaded)
        self._idle.used([market])
        if market is loaded and any(loaded.marks.values()):
            alerts = ((rule, mark.pane) for rule, marks in loaded.marks.items() for mark in marks)
            self._restored_alerts[loaded] = frozenset(alerts)
        return market

    def was_restored(self, market: Market, rule: str, pane: int) -> bool:
        """Whether an alert was raised before this worker loaded its market, so perhaps with other settings."""
        return (rule, pane) in self._restored_alerts.get(market, ())

    async def stored(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Return a market that another worker serves, as that worker last stored it.

        Return None if the market is unknown, if each worker has a store of its own, or if a newer release wrote it.
        That release can read it. Asks once, and raises :class:`Outage` if the store does not answer.
        """
        items = await self._store().peek(partition, prefix(venue, symbol))
        try:
            return market_from(items, venue, symbol, self._span)
        except NewerState as error:
            log.warning("%s", error)
            return None

    async def preload(self, partitions: Collection[int], within_seconds: float) -> None:
        """Load every market of partitions served here, once, so that :meth:`markets` has those that do not trade.

        Returns when they are there, or after ``within_seconds``: the load goes on for whoever asks next. Raises what a
        load ended in, and the next call begins that load again. A market that a newer release wrote ends the process.
        """
        loads = [self._load_of(partition) for partition in partitions]
        if loads:
            await asyncio.wait(loads, timeout=within_seconds)
        for load in loads:
            if load.done() and not load.cancelled():
                load.result()

    def has_all(self, partitions: Iterable[int]) -> bool:
        """Whether every market of these partitions is in memory."""
        return all(_succeeded(self._loads.get(partition)) for partition in partitions)

    def _load_of(self, partition: int) -> asyncio.Task[None]:
        load = self._loads.get(partition)
        if load is None or (load.done() and not _succeeded(load)):
            load = self._loads[partition] = asyncio.create_task(self._load_all(partition))
        return load

    async def _load_all(self, partition: int) -> None:
        try:
            await self._load_markets(partition)
        except NewerState as error:
            self._on_fatal(error)
            raise

    async def _load_markets(self, partition: int) -> None:
        markets = self._partitions.setdefault(partition, {})
        known = await self._answered(lambda store: store.markets(partition))
        is_listed = self._admission.is_listed
        for venue, symbol in sorted(known, key=lambda place: (not is_listed(*place), place)):
            if (venue, symbol) not in markets and self._admission.may_load(venue, symbol, len(markets)):
                market = await self._load(partition, venue, symbol)
                if market is not None:
                    self._take_in(markets, market)
            await asyncio.sleep(0)

    def markets(self) -> Iterator[tuple[int, Market]]:
        """Yield (partition, market) of everything in memory."""
        for partition, markets in list(self._partitions.items()):
            for market in list(markets.values()):
                yield partition, market

    def forget(self, partitions: Collection[int]) -> list[Market]:
        """Drop markets of partitions that have moved; return them."""
        dropped: list[Market] = []
        for partition in partitions:
            dropped += self._partitions.pop(partition, {}).values()
            self._touched.pop(partition, None)
            if load := self._loads.pop(partition, None):
                load.cancel()
            self._unwritten.pop(partition, None)
            self._claims.pop(partition, None)
            self._stale.forget(partition)
        self._admission.forget(partitions)
        self._let_go(dropped)
        return dropped

    def _let_go(self, dropped: Iterable[Market]) -> None:
        for market in dropped:
            self._restored_alerts.pop(market, None)
            self._idle.forget(market)

    def _drop_idle(self) -> None:
        """Let markets go that nobody has traded for long, and of which everything is stored."""
        for partition, markets in self._partitions.items():
            if partition in self._unwritten or not self._idle.is_due(partition):
                continue
            touched = self._touched.get(partition, ())
            idle = [
                market
                for market in markets.values()
                if market not in touched
                and not self._admission.is_listed(market.venue, market.symbol)
                and self._idle.is_idle(market)
            ]
            for market in idle:
                del markets[market.venue, market.symbol]
            if idle:
                self._let_go(idle)
                self._on_idle(idle)

    async def flush(self) -> ChangelogClaims:
        """Make everything done so far durable: steps 2 to 4 of a commit. Waits as long as the broker takes.

        The result is for :meth:`confirm`, after the commit that follows.
        """
        async with self._lock:
            started = time.perf_counter()
            self._collect()
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
            self._drop_idle()
            if not is_idle:
                metrics.flush_seconds.observe(time.perf_counter() - started)
            return dict(self._claims)

    async def confirm(self, claims: ChangelogClaims) -> None:
        """Let the stores remember how much of the changelog they hold: step 6, after the broker accepted the commit."""
        async with self._lock:
            for partition, claim in claims.items():
                if self._claims.get(partition) is not claim:
                    continue
                is_ours = partial(self._is_claimed, partition, claim)
                if await self._keep(partial(_reach, partition, claim.reached), is_ours):
                    del self._claims[partition]

    def _collect(self) -> None:
        # In one step: what is touched from here on, and the rows that grow, are the next flush's.
        touched_now, self._touched = self._touched, {}
        for partition, touched in touched_now.items():
            self._unsent += self._settle(partition, touched)
            self._unwritten.setdefault(partition, {}).update(taken_from(touched, self._span))
            self._reached.update((market, market.watermark) for market in touched)
            self._idle.used(touched)

    async def _write(self, partition: int) -> None:
        items = self._unwritten.get(partition)
        if items is None:
            return
        # Before the store may claim what follows.
        await self._write_over(partition, self._store().overtaken(partition).take())
        records = [Record(self._changelog, key, value, partition) for key, value in items.items()]
        delivered = await self._outbound.deliver(records)
        self._stale.note(partition, delivered)
        claim = ChangelogClaim(max((where.offset for where in delivered), default=-1))
        self.reached[partition] = max(claim.reached, self.reached.get(partition, -1))
        if not self._is_ours(partition, items):
            # The partition moved meanwhile: its local store must not claim a changelog that others write to now.
            return
        if delivered:
            is_ours = partial(self._is_ours, partition, items)
            if not await self._keep(lambda store: store.save(partition, items), is_ours):
                return
            self._claims[partition] = claim
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
                await self._write_over(partition, self._store().overtaken(partition).take())

    async def restate(self, partition: int, stale: Items) -> None:
        """Write this worker's values again behind stale ones of the same keys."""
        async with self._lock:
            await self._write_over(partition, stale)

    async def _write_over(self, partition: int, stale: Items) -> None:
        own: dict[bytes, bytes] = {}
        for name in {market_of(key) for key in stale if split_key(key)[0]}:
            own |= await self._answered(partial(_items, partition, prefix(*name)))
        if own and partition in self._partitions:
            await self._stale.restate(partition, stale, own)

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

    async def _answered(
        self, ask: Callable[[StateStore], Awaitable[T]], wanted: Callable[[], bool] = lambda: True
    ) -> T:
        """Ask the store until it answers. Raises :class:`Outage` once nobody waits for that any more."""

        async def attempt() -> T:
            try:
                result = await ask(self._store())
            except Outage:
                self.store_answers = False
                raise
            self.store_answers = True
            return result

        return await until_answered(attempt, wanted=lambda: wanted() and not self._is_closing)

    def close(self) -> None:
        """Stop waiting for a store that does not answer: the process ends, and the last commit stands."""
        self._is_closing = True
        for load in self._loads.values():
            load.cancel()


async def _reach(partition: int, reached: int, store: StateStore) -> None:
    await store.reach(partition, reached)


async def _items(partition: int, prefix: bytes, store: StateStore) -> dict[bytes, bytes]:
    return dict(await store.load(partition, prefix))


def _succeeded(load: asyncio.Task[None] | None) -> bool:
    return load is not None and load.done() and not load.cancelled() and load.exception() is None
