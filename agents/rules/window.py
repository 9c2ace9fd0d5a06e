"""The rule window in its three forms: computed already, of a pane that is over, and of the panes judged in turn."""

from functools import cached_property

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
        return self._market.price_change_pct(self._pane, self._length)


class JudgedWindow:
    """The rule window of ``length`` panes that ends with one pane; one object for all that are judged in turn."""

    __slots__ = ("_figures", "_length", "_market", "liquidated", "pane", "volume")

    def __init__(self, length: int) -> None:
        self._length = length
        self.pane = -1
        self.volume = self.liquidated = 0
        self._market: Market | None = None
        self._figures: WindowFigures | None = None

    def at(self, market: Market, pane: int, volume: int, liquidated: int) -> None:
        """Turn to another pane, whose sums the caller knows, in micro-USD."""
        self._market, self.pane, self.volume, self.liquidated = market, pane, volume, liquidated
        self._figures = None

    @property
    def price_change_pct(self) -> float:
        """Last price against first. One late trade has up to ``length`` windows judged, so it needs no other figure."""
        return self._current.price_change_pct(self.pane, self._length)

    @property
    def figures(self) -> WindowFigures:
        """Every figure of the window, computed when first asked for."""
        if self._figures is None:
            self._figures = self._current.figures(self.pane, self._length)
        return self._figures

    @property
    def _current(self) -> Market:
        assert self._market is not None  # noqa: S101 - nobody asks before at()
        return self._market


class NotKnown(LookupError):
    """A rule asks for a figure that is not known of a window."""


class WindowSumsOnly:
    """A window of which nothing is known but its sums, in micro-USD. Asking for more raises :class:`NotKnown`."""

    def __init__(self, volume: int, liquidated: int) -> None:
        self.volume = volume
        self.liquidated = liquidated

    @property
    def price_change_pct(self) -> float:
        """Not known."""
        raise NotKnown("price_change_pct")

    @property
    def figures(self) -> WindowFigures:
        """Not known."""
        raise NotKnown("figures")
