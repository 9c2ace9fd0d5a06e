"""The figures of a window, computed exactly from its panes."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import msgspec

from tables.market.panes import UNITS_PER_WHOLE, Pane

# VWAP's fraction: the numerator counts 1e-15 USD, the denominator 1e-14 base units.
_REST_PER_MICRO: Final = 10**9
_VWAP_SCALE: Final = 10


class WindowFigures(msgspec.Struct, frozen=True, gc=False):
    """A window's figures. Amounts are integers in micro-USD, prices doubles in the quote currency.

    All prices, ``vwap``, ``price_change_pct`` and ``realized_volatility`` are 0 in an empty window.
    """

    count: int
    total_volume_micro_usd: int
    buy_volume_micro_usd: int
    sell_volume_micro_usd: int
    liquidation_volume_micro_usd: int
    liquidation_long_micro_usd: int
    liquidation_short_micro_usd: int
    largest_trade_micro_usd: int
    vwap: float
    price_change_pct: float
    realized_volatility: float
    first_price: float
    last_price: float
    high: float
    low: float


def vwap(total: Pane) -> float:
    """Return the sum of price x quantity over the sum of quantity: the double nearest to the exact quotient."""
    quantity = total.whole * UNITS_PER_WHOLE + total.fraction
    if not quantity:
        return 0.0
    return (total.notional * _REST_PER_MICRO + total.rest) / (quantity * _VWAP_SCALE)


def realized_volatility(last_prices: list[float]) -> float:
    """Return the root of the sum of squared log returns of consecutive non-empty panes' last prices."""
    returns = (math.log(after / before) for before, after in pairwise(last_prices))
    return math.sqrt(math.fsum(r * r for r in returns))


def figures(panes: Iterable[Pane]) -> WindowFigures:
    """Return the figures of a window given its panes in time order; empty panes may be left out."""
    total = Pane([])
    last_prices = []
    for pane in panes:
        if pane.count:
            total.add_figures(pane)
            last_prices.append(pane.last_price)
    return figures_of(total, realized_volatility(last_prices))


def price_change_pct(first: float, last: float) -> float:
    """Return the change of a price, per cent."""
    return (last - first) / first * 100


def figures_of(total: Pane, volatility: float) -> WindowFigures:
    """Return the figures of a window whose panes add up to ``total``."""
    change = price_change_pct(total.first_price, total.last_price) if total.count else 0.0
    return WindowFigures(
        count=total.count,
        total_volume_micro_usd=total.notional,
        buy_volume_micro_usd=total.buy,
        sell_volume_micro_usd=total.sell,
        liquidation_volume_micro_usd=total.liquidated,
        liquidation_long_micro_usd=total.long_liquidated,
        liquidation_short_micro_usd=total.short_liquidated,
        largest_trade_micro_usd=total.largest,
        vwap=vwap(total),
        price_change_pct=change,
        realized_volatility=volatility,
        first_price=total.first_price,
        last_price=total.last_price,
        high=total.high,
        low=total.low,
    )
