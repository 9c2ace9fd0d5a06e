"""A window's figures as readers see them: amounts in USD, by the names that alerts and dashboards use."""

from typing import Final

from tables.market.windows import WindowFigures

MICRO_PER_USD: Final = 10**6

COLUMNS: Final = tuple(name.replace("_micro_usd", "_usd") for name in WindowFigures.__struct_fields__)
"""The names of a window's figures, in the order of :func:`figure_values`."""


def usd(micro_usd: int) -> float:
    """Return an amount in USD: the double nearest to it."""
    return micro_usd / MICRO_PER_USD


def figure_values(figures: WindowFigures) -> list[float]:
    """Return a window's figures in the order of :data:`COLUMNS`."""
    return [
        figures.count,
        usd(figures.total_volume_micro_usd),
        usd(figures.buy_volume_micro_usd),
        usd(figures.sell_volume_micro_usd),
        usd(figures.liquidation_volume_micro_usd),
        usd(figures.liquidation_long_micro_usd),
        usd(figures.liquidation_short_micro_usd),
        usd(figures.largest_trade_micro_usd),
        figures.vwap,
        figures.price_change_pct,
        figures.realized_volatility,
        figures.first_price,
        figures.last_price,
        figures.high,
        figures.low,
    ]
