"""The markets that this worker serves, as rows: from memory."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tables.market.panes import PANE_SECONDS
from tables.market.rolling import SPARK_STEP, Rolling
from tables.market.state import Market
from tables.market.values import FIGURE_NAMES, figure_values
from tables.market.windows import WindowFigures
from tables.serving import ServedMarkets
from tables.web.api.rows import Judgement, MarketRow, Spark, WindowRow
from tables.web.cluster.judging import judged, judgements_of

SLICE_SECONDS: Final = 0.004
"""How long rows are made at a stretch; trades wait meanwhile, no longer than for one message."""


class LocalRows:
    """Makes rows of what a worker serves."""

    def __init__(self, served: ServedMarkets) -> None:
        self._served = served

    async def window_rows(self, venue: str | None, symbol: str | None) -> tuple[list[WindowRow], set[int]]:
        """Return every window of every market, or of those asked for, and the partitions of which no market lacks."""
        is_whole = await self._served.load()
        whole = {*self._served.partitions()} if is_whole else set()
        rows: list[WindowRow] = []
        began = time.perf_counter()
        for partition, rolling in self._served.rollings():
            market = rolling.market
            if (venue is None or market.venue == venue) and (symbol is None or market.symbol == symbol):
                rows += self.windows_of(partition, rolling)
            if time.perf_counter() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return rows, whole

    def windows_of(self, partition: int, rolling: Rolling) -> Iterator[WindowRow]:
        """Yield every window of a market, shortest first."""
        market, served = rolling.market, self._served
        end = market.watermark + PANE_SECONDS
        missing: Sequence[int | None] = served.missing(rolling) or [None] * len(served.windows)
        for seconds, figures, lacking in zip(served.windows, rolling.figures(), missing, strict=True):
            of_rules = seconds == served.rule_window
            yield WindowRow(
                venue=market.venue,
                symbol=market.symbol,
                window_seconds=seconds,
                window_start=end - seconds,
                window_end=end,
                owner=served.owner,
                partition=partition,
                source="memory",
                age_seconds=age_seconds(market, served.now()),
                judgements=self._judgements(market, figures) if of_rules else [],
                covered_since=market.covered_since,
                missing_trades=lacking,
                **dict(zip(FIGURE_NAMES, figure_values(figures), strict=True)),
            )

    def _judgements(self, market: Market, rule_window: WindowFigures) -> list[Judgement]:
        served = self._served
        measured = served.measured(market, rule_window)
        return judgements_of(served.rules_of(market), measured, served.latest_alerts(market), served.rule_window)

    def market_row(self, partition: int, rolling: Rolling) -> MarketRow:
        """Return a market with all its windows."""
        market, served = rolling.market, self._served
        figures = rolling.figures()
        standing = served.standing(market, figures)
        found = judged(standing.rules, standing.measured, served.latest_alerts(market), standing.window_seconds)
        return MarketRow(
            venue=market.venue,
            symbol=market.symbol,
            owner=served.owner,
            partition=partition,
            offset=market.offset,
            received=market.received_us / 1e6 if market.received_us else None,
            pane=market.watermark,
            rule=found.rule,
            threshold_usd=found.threshold_usd,
            amount_usd=found.amount_usd,
            latest_alert=found.latest_alert,
            windows=[figure_values(one) for one in figures],
            window_seconds=served.windows,
            judgements=found.judgements,
            covered_since=market.covered_since,
            missing_trades=served.missing(rolling),
        )

    def spark(self, rolling: Rolling) -> Spark:
        """Return a market's sparkline."""
        end, points = rolling.spark()
        market = rolling.market
        return Spark(market.venue, market.symbol, end, SPARK_STEP, points)


def age_seconds(market: Market, now: float) -> float | None:
    """Return the time since a market's last trade was received; None where that is not known, after a restart."""
    return max(0.0, round(now - market.received_us / 1e6, 3)) if market.received_us else None
