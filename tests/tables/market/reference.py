"""The figures of a window from every pane of it, one after another: what pieces and running sums must come to."""

import math
from collections.abc import Iterable
from itertools import pairwise

from tables.market.panes import Pane
from tables.market.pieces import Walk, summed
from tables.market.windows import WindowFigures, WindowSums, figures_of


def realized_volatility(last_prices: list[float]) -> float:
    """Return the root of the sum of squared log returns of consecutive prices."""
    returns = (math.log(after / before) for before, after in pairwise(last_prices))
    return math.sqrt(math.fsum(r * r for r in returns))


def reference_figures(panes: Iterable[Pane]) -> WindowFigures:
    """Return the figures of panes in time order, each added by itself and every return by itself."""
    sums = WindowSums([])
    last_prices = []
    for pane in panes:
        if pane.count:
            sums.add_figures(pane)
            last_prices.append(pane.last_price)
    sums.realized_volatility = realized_volatility(last_prices)
    return figures_of(sums)


def figures(panes: Iterable[Pane]) -> WindowFigures:
    """Return the figures of panes in time order as the program computes them of panes that are counted into."""
    walk = Walk()
    walk.take(summed(list(panes)))
    return walk.figures()
