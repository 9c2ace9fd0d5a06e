"""The markets in memory of the partitions this worker owns: how they come there from the store, and leave again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator
from typing import TypeVar

from streams.errors import Fatal, Outage
from streams.model.kinds import MarketKind
from tables.market.admission import Admission
from tables.market.chunks import prefix
from tables.market.formats import NewerState
from tables.market.idle import Idle
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.base import StateStore
from tables.stores.items import market_from, market_steps
from tables.stores.patience import until_answered

log = logging.getLogger(__name__)

T = TypeVar("T")


class LoadedMarkets:
    """The markets in memory, by partition.

    ``store_answers`` is false while the table store is waited for. ``on_fatal`` ends the process: it is told of state
    that a newer release wrote, where that is found before a message asks for it.

    A market that is not listed, and was not touched for as long as its panes are kept, leaves memory. ``on_idle`` is
    told. What is stored of it stays, and its next message loads it as it was. ``clock`` gives seconds.
    ``on_loaded`` is called whenever every market of a partition was loaded.
    """

    def __init__(
        self,
        store: Callable[[], StateStore],
        span: Span,
        on_fatal: Callable[[Fatal], object],
        admission: Admission | None,
        on_idle: Callable[[Iterable[Market]], object],
        clock: Callable[[], float],
        on_loaded: Callable[[], object],
    ) -> None:
        self._store = store
        self.span = span
        self._on_fatal = on_fatal
        self._admission = admission or Admission()
        self._idle = Idle(span.retention, clock)
        self._on_idle = on_idle
        self._on_loaded = on_loaded
        self._partitions: dict[int, dict[tuple[str, str], Market]] = {}
        self._touched: dict[int, set[Market]] = {}
        self._loads: dict[int, asyncio.Task[None]] = {}
        # The (rule, pane) of alerts that a market had when it was loaded.
        self._restored_alerts: dict[Market, frozenset[tuple[str, int]]] = {}
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
                found = Market(venue, symbol, self.span, kind)
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
        return market_from(items, venue, symbol, self.span)

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
            return market_from(items, venue, symbol, self.span)
        except NewerState as error:
            log.warning("%s", error)
            return None

    def begin_loads(self, partitions: Iterable[int]) -> None:
        """Begin to load every market of partitions that are served from now on; :meth:`preload` waits for it."""
        for partition in partitions:
            # Who waits for it is told of an error too, and asyncio need not be.
            self._load_of(partition).add_done_callback(_failed)

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
        self._on_loaded()

    async def _load_markets(self, partition: int) -> None:
        markets = self._partitions.setdefault(partition, {})
        known = await self._answered(lambda store: store.markets(partition))
        is_listed = self._admission.is_listed
        for venue, symbol in sorted(known, key=lambda place: (not is_listed(*place), place)):
            if (venue, symbol) not in markets and self._admission.may_load(venue, symbol, len(markets)):
                market = await self._load_by_steps(partition, venue, symbol)
                if market is not None:
                    self._take_in(markets, market)
            await asyncio.sleep(0)

    async def _load_by_steps(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Do what :meth:`_load` does, and let messages be counted in between: nobody waits for this market."""
        items = await self._answered(lambda store: store.load(partition, prefix(venue, symbol)))
        market = None
        for found in market_steps(items, venue, symbol, self.span):
            market = found
            await asyncio.sleep(0)
        return market

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
        self._admission.forget(partitions)
        self._let_go(dropped)
        return dropped

    def _let_go(self, dropped: Iterable[Market]) -> None:
        for market in dropped:
            self._restored_alerts.pop(market, None)
            self._idle.forget(market)

    def _drop_idle(self, unwritten: Container[int]) -> None:
        """Let markets go that nobody has traded for long, and of which everything is stored.

        Of the partitions in ``unwritten`` something is not.
        """
        for partition, markets in self._partitions.items():
            if partition in unwritten or not self._idle.is_due(partition):
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


def _failed(load: asyncio.Task[None]) -> None:
    if not load.cancelled() and (error := load.exception()) is not None:
        log.error("markets could not be loaded, which whoever asks for them tries again: %s", error)


def _succeeded(load: asyncio.Task[None] | None) -> bool:
    return load is not None and load.done() and not load.cancelled() and load.exception() is None
