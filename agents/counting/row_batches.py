"""Rows of JSON, each a message of its own, counted many at once with what the monitor makes of them one by one.

Plain rows of a bundle are read together, sorted by market, and counted a pane at a time. Each market's rows stay in the
order of their messages, so its state, its alerts and what is stored of it are the same. Only between markets the order
differs. What is not plain, or may raise an alert, or was counted before, the monitor handles alone, at its place.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from agents.counting.monitor import Monitor, SourceMessage
from agents.counting.row_evaluation import RowEvaluator
from agents.counting.row_runs import MarketRuns, RowBatch
from agents.counting.runs import Trades
from agents.counting.series import series_of
from agents.counting.source_rows import SourceRows
from agents.counting.tally import Outcome
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.venues.plain_rows import PlainReader
from tables.keeper import Keeper
from tables.market.panes import PANE_US
from tables.market.state import Market

LEAST_TOGETHER: Final = 24
"""Rows below which the fixed cost of columns, about half a millisecond, exceeds that of one row after another."""

MOST_ALONE: Final = 64
"""Rows handled alone before others have a turn: they take some 5 ms, and a bundle of nothing else would take 100."""


ROWS_A_STEP: Final = 512
"""Rows counted together before others have a turn: about 5 ms where each is of another second."""


class _Tally:
    """Of a bundle's plain rows: messages that were counted together, their bytes, and a market of their one venue."""

    def __init__(self) -> None:
        self.messages = self.size = 0
        self.market: PlainMarket | None = None

    def add(self, market: PlainMarket, start: int, end: int, size: int) -> int:
        """Add the messages from one place to another, which have so many bytes. Return where they end."""
        self.market = market
        self.messages += end - start
        self.size += size
        return end


class RowBatches:
    """Handles rows of one partition at a time, as ``monitor`` would one after another.

    ``may_go_on`` is awaited before each market's rows, and before each row alone. In a process that is ending it does
    not return.
    """

    def __init__(
        self,
        monitor: Monitor,
        evaluator: RowEvaluator,
        keeper: Keeper,
        reader: PlainReader,
        *,
        may_go_on: Callable[[], Awaitable[object]],
    ) -> None:
        self._monitor = monitor
        self._may_go_on = may_go_on
        self._alone = 0
        self._evaluator = evaluator
        self._keeper = keeper
        self._reader = reader
        self._most_us = keeper.span.slack * PANE_US // 2

    async def handle(self, messages: SourceRows) -> None:
        """Handle rows that follow each other, which all begin as an object of JSON."""
        rows = None
        if len(messages) >= LEAST_TOGETHER:
            rows = self._reader.read(messages.values)
        if rows is None:
            for message in messages:
                await self._handle_alone(message)
            return
        if int(rows.times_us.max()) - int(rows.times_us.min()) > self._most_us:
            for start, end in self._stretches(rows, len(messages)):
                await self.handle(messages[start:end])
            return
        others, done = await self._apart(messages, rows)
        batch = RowBatch(
            rows,
            {place: at for place, (at, _) in others.items()},
            done,
            messages.received_us,
            messages.sizes,
            self._evaluator.max_future_us,
        )
        tally = _Tally()
        try:
            counted = 0
            for at, runs in batch.by_market():
                await self._may_go_on()
                if counted >= ROWS_A_STEP:
                    counted = 0
                    await asyncio.sleep(0)
                counted += runs.ends[-1] - runs.starts[0]
                await self._count(messages, batch, rows.markets[at], runs, others, tally)
        finally:
            if tally.market is not None:
                series = series_of(tally.market.venue, tally.market.symbol)
                series.trades.inc(tally.messages)
                series.frames.inc(tally.messages)
                series.frame_bytes.inc(tally.size)

    def _stretches(self, rows: PlainRows, count: int) -> Iterator[tuple[int, int]]:
        """Yield where rows begin and end that are near each other in time.

        Markets come one after another. The clock of each may run as far as a flush allows, and the next flush is for
        all of them. With more time in a stretch each market would ask for a flush of its own.
        """
        start = 0
        earliest = latest = int(rows.times_us[0])
        for place, time_us in zip(rows.places.tolist(), rows.times_us.tolist(), strict=True):
            earliest, latest = min(earliest, time_us), max(latest, time_us)
            if latest - earliest > self._most_us:
                yield start, place
                start, earliest, latest = place, time_us, time_us
        yield start, count

    async def _handle_alone(self, message: SourceMessage, trades: Trades | None = None) -> None:
        await self._may_go_on()
        self._alone += 1
        if self._alone % MOST_ALONE == 0:
            await asyncio.sleep(0)
        if trades is None:
            await self._monitor.handle(message)
        else:
            await self._monitor.handle_trades(message, trades)

    async def _apart(self, messages: SourceRows, rows: PlainRows) -> tuple[dict[int, tuple[int, Trades]], set[int]]:
        """Handle, in their order, what cannot wait for its market's turn: return the places that this was done for.

        It is rows of markets that are not in memory, or of another partition, and rows of markets that no plain row is
        of. Whether a market is taken in depends on those taken in before it. Return, by place, the other rows that are
        not plain too: their markets' places, and what was read.
        """
        partition = messages.partition
        markets = {(market.venue, market.symbol): at for at, market in enumerate(rows.markets)}
        is_here = [self._is_here(partition, *place) for place in markets]
        others: dict[int, tuple[int, Trades]] = {}
        done: set[int] = set()
        if len(rows.places) == len(messages) and all(is_here):
            return others, done
        plain = dict(zip(rows.places.tolist(), rows.market.tolist(), strict=True))
        for place, message in enumerate(messages):
            at = plain.get(place)
            trades = None
            if at is None:
                trades = await self._monitor.decoded(message)
                at = None if trades is None else markets.get((trades.venue, trades.symbol))
            if at is not None:
                # What joined its market's rows once stays with them, whoever leaves memory meanwhile.
                is_here[at] = is_here[at] or self._is_here(partition, rows.markets[at].venue, rows.markets[at].symbol)
            if at is None or not is_here[at]:
                done.add(place)
                if trades is not None or at is not None:
                    await self._handle_alone(message, trades)
            elif trades is not None:
                others[place] = at, trades
        return others, done

    def _is_here(self, partition: int, venue: str, symbol: str) -> bool:
        return self._monitor.home(symbol) == partition and self._keeper.held(partition, venue, symbol) is not None

    async def _count(
        self,
        messages: SourceRows,
        batch: RowBatch,
        of: PlainMarket,
        runs: MarketRuns,
        others: Mapping[int, tuple[int, Trades]],
        tally: _Tally,
    ) -> None:
        """Count the rows of one market, all together or run by run; a run for which neither is possible, row by row."""
        partition, places, offsets = messages.partition, batch.places, messages.offsets
        counted_to = 0
        market: Market | None = None
        may_rise = runs.is_rising
        outcome = Outcome()
        for at, number in enumerate(runs.numbers):
            if market is None:
                # Anything may have happened where something was waited for: the market may be another object.
                market = self._keeper.held(partition, of.venue, of.symbol)
                if market is not None and market.kind == of.kind:
                    # A flush has taken what was touched before it.
                    self._keeper.touch(partition, market)
                else:
                    market = None
            if may_rise and market is not None and number > market.watermark:
                may_rise = False
                rest = runs.between(at, len(runs.numbers), is_rising=True)
                if self._evaluator.fold_rising(market, rest, offsets[places[runs.ends[-1] - 1]]):
                    counted_to = tally.add(of, rest.starts[0], rest.ends[-1], sum(rest.sizes))
                    break
            run = runs.run(at)
            first, end = run.start, run.end
            is_counted = market is not None and self._evaluator.fold_together(
                market,
                run,
                () if run.is_dense else batch.ids(run),
                outcome,
                partition=partition,
                first_offset=offsets[places[first]],
                last_offset=offsets[places[end - 1]],
            )
            if outcome.alerts:
                await self._monitor.emit_alerts(outcome, messages[places[first]].received_us)
                outcome.alerts, outcome.raised, market = [], [], None
            if is_counted:
                counted_to = tally.add(of, first, end, run.size)
                if market is not None and market.must_flush():
                    await self._keeper.flush()
                    market = None
                continue
            market, counted_to = None, 0
            for row, place in enumerate(places[first:end], first):
                trades = others[place][1] if place in others else batch.trades(row, of, messages[place].received_us)
                await self._handle_alone(messages[place], trades)
        if counted_to:
            series_of(of.venue, of.symbol).last_trade_seconds.set(messages[places[counted_to - 1]].received_us / 1e6)
