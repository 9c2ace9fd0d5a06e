"""Rule windows of those who look at a market and count nothing: now, and of a pane that is over."""

from functools import cached_property

from streams.model.figures import change_pct
from tables.market.state import Market
from tables.market.windows import WindowFigures


class KnownWindow:
    """A window whose figures are computed already."""

    def __init__(self, figures: WindowFigures) -> None:
        self._figures = figures

    @property
    def figures(self) -> WindowFigures:
        """Every figure."""
        return self._figures

    @property
    def volume(self) -> int:
        """Notional traded, micro-USD."""
        return self.figures.total_volume_micro_usd

    @property
    def liquidated(self) -> int:
        """Notional of liquidations, micro-USD."""
        return self.figures.liquidation_volume_micro_usd

    @property
    def price_change_pct(self) -> float:
        """Last price against first, per cent."""
        return self.figures.price_change_pct


class PastWindow(KnownWindow):
    """The window of ``length`` panes that ends with a pane of a market; computed as far as a rule asks."""

    def __init__(self, market: Market, pane: int, length: int) -> None:
        self._market, self._pane, self._length = market, pane, length

    @cached_property
    def figures(self) -> WindowFigures:
        """Every figure."""
        return self._market.figures(self._pane, self._length)

    @property
    def price_change_pct(self) -> float:
        """Last price against first, read off the window's two ends: it is asked whenever a row changes."""
        first, last = self._market.ends(self._pane, self._length)
        return change_pct(first.first_price, last.last_price)
