"""The markets that this worker serves, as rows: from memory, with each market's sums kept between looks."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from faust.types import TP

from streams.model.kinds import AnyMarket
from streams.settings import SEVERITIES
from streams.topics import TRADES
from tables.market.panes import PANE_SECONDS
from tables.market.rolling import SPARK_STEP, Rolling
from tables.market.state import Market
from tables.market.values import COLUMNS, figure_values, usd
from tables.web.api.rows import LatestAlert, MarketRow, Spark, WindowRow, latest_alert_of
from tables.web.cluster.replicas import Cluster

SLICE_SECONDS: Final = 0.004
"""How long rows are made before the stream's messages have their turn again."""

TAKING_OVER: Final = "is taking over its partitions"
CATCHING_UP: Final = "is catching up: what its partitions hold is not all counted"

LOAD_SECONDS: Final = 0.5
"""How long a view waits for markets from the table store; less than another worker waits for this one's answer."""


class ShownRule(Protocol):
    """What the view needs to know of a market's rule: ``agents.rules.book`` has the whole of it."""

    @property
    def name(self) -> str:
        """``volume`` or ``liquidation``."""
        ...

    @property
    def threshold(self) -> int:
        """What alerts begin with."""
        ...


class _Named(NamedTuple):
    symbol: str
    venue: str = ""


class LocalMarkets:
    """Rows of this worker's markets. ``windows`` are their lengths in seconds, shortest first."""

    def __init__(self, app: Any, cluster: Cluster) -> None:
        self._app = app
        self._cluster = cluster
        settings = app.settings
        self.windows = tuple(sorted({*settings.windows, settings.window_seconds}))
        self.rule_window: int = settings.window_seconds
        self.partition_count: int = settings.topic_partitions
        self._cooldown: int = settings.alert_cooldown_sec
        self._rolling: dict[Market, Rolling] = {}
        # Whether someone beside the web view goes on using the sums.
        self.is_kept = False

    @property
    def here(self) -> str:
        """The address under which this worker is announced."""
        return self._cluster.here

    @property
    def is_serving(self) -> bool:
        """Whether this worker has what is assigned to it: not while partitions move and tables are restored."""
        app = self._app
        return not app.rebalancing and bool(app.tables.actives_ready) and not app.ending.has_begun

    @property
    def lacking(self) -> str:
        """What keeps this worker from having every window as its last owner had it, for a note; empty where it has."""
        served = self.served()
        if not self.is_serving or not self._app.keeper.has_all(served):
            return TAKING_OVER
        if not all(self._app.consumer.has_caught_up(TP(TRADES, partition)) for partition in served):
            return CATCHING_UP
        return ""

    async def load(self) -> bool:
        """Bring markets into memory that have not traded since this worker took their partition over.

        Return whether all is there; what takes long goes on, and is waited for by the next who asks.
        """
        if self.is_serving:
            await self._app.keeper.preload(self.served(), LOAD_SECONDS)
        return not self.lacking

    def served(self) -> list[int]:
        """Return the partitions that this worker serves now."""
        return sorted(tp.partition for tp in self._app.assignor.assigned_actives() if tp.topic == TRADES)

    def rollings(self) -> list[tuple[int, Rolling]]:
        """Return (partition, windows) of every market in memory; forgets those that moved away."""
        known, self._rolling = self._rolling, {}
        found = []
        for partition, market in self._app.keeper.markets():
            if market.watermark >= 0:
                rolling = known.get(market) or Rolling(market, self.windows)
                self._rolling[market] = rolling
                found.append((partition, rolling))
        return found

    def forget(self) -> None:
        """Drop the sums: nobody is looking."""
        if not self.is_kept:
            self._rolling.clear()

    def find(self, venue: str, symbol: str) -> tuple[int, Market] | None:
        """Return (partition, market) where it is in memory here."""
        for partition, market in self._app.keeper.markets():
            if market.symbol == symbol and market.venue == venue:
                return partition, market
        return None

    async def window_rows(self, venue: str | None, symbol: str | None) -> tuple[list[WindowRow], set[int]]:
        """Return every window of every market, or of those asked for, and the partitions of which no market lacks."""
        is_whole = await self.load()
        whole = {*self.served()} if is_whole else set()
        rows: list[WindowRow] = []
        began = time.perf_counter()
        for partition, rolling in self.rollings():
            market = rolling.market
            if (venue is None or market.venue == venue) and (symbol is None or market.symbol == symbol):
                rows += self._windows_of(partition, rolling)
            if time.perf_counter() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return rows, whole

    def _windows_of(self, partition: int, rolling: Rolling) -> Iterator[WindowRow]:
        market = rolling.market
        end = market.watermark + PANE_SECONDS
        for seconds, figures in zip(self.windows, rolling.figures(), strict=True):
            yield WindowRow(
                venue=market.venue,
                symbol=market.symbol,
                window_seconds=seconds,
                window_start=end - seconds,
                window_end=end,
                owner=self.here,
                partition=partition,
                source="memory",
                age_seconds=age_seconds(market),
                **dict(zip(COLUMNS, figure_values(figures), strict=True)),
            )

    def market_row(self, partition: int, rolling: Rolling) -> MarketRow:
        """Return a market with all its windows."""
        market = rolling.market
        rule = self.rule(market)
        windows = [figure_values(figures) for figures in rolling.figures()]
        return MarketRow(
            venue=market.venue,
            symbol=market.symbol,
            owner=self.here,
            partition=partition,
            offset=market.offset,
            received=market.received_us / 1e6 if market.received_us else None,
            pane=market.watermark,
            rule=rule.name,
            threshold_usd=usd(rule.threshold),
            amount_usd=self.judged(rule, windows[self.windows.index(self.rule_window)]),
            mark=self.latest_alert(market),
            windows=windows,
            window_seconds=self.windows,
        )

    def rule(self, market: AnyMarket) -> ShownRule:
        """Return the rule that judges a market."""
        rules = self._app.evaluator.rules.of(market)
        found: ShownRule = next(rule for rule in rules if rule.unit.name == "usd")
        return found

    def judged(self, rule: ShownRule, figures: Sequence[float | None]) -> float | None:
        """Return what a rule compares with its threshold, in USD, of the figures of the rules' window."""
        name = "liquidation_volume_usd" if rule.name == "liquidation" else "total_volume_usd"
        return figures[COLUMNS.index(name)]

    def latest_alert(self, market: Market) -> LatestAlert | None:
        """Return the latest alert of a market's rule, if there was one."""
        return latest_alert_of(market, self.rule(market).name, SEVERITIES, self._cooldown)

    def spark(self, rolling: Rolling) -> Spark:
        """Return a market's sparkline."""
        end, points = rolling.spark()
        market = rolling.market
        return Spark(market.venue, market.symbol, end, SPARK_STEP, points)


def age_seconds(market: Market) -> float | None:
    """Return the time since a market's last trade was received; None where that is not known, after a restart."""
    return max(0.0, round(time.time() - market.received_us / 1e6, 3)) if market.received_us else None
