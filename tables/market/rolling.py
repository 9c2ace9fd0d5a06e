"""Every window of a market at once, kept until the market changes.

All windows of a market end with the same pane, so one walk back in time serves them all (:mod:`tables.market.pieces`).
"""

from collections.abc import Sequence
from typing import Final

from tables.market.chunk import CHUNK_PANES
from tables.market.gaps import missing
from tables.market.panes import Pane
from tables.market.state import Market
from tables.market.windows import WindowFigures

SPARK_STEP: Final = 8
"""Panes in one point of a sparkline: pages draw 900 panes in 108 pixels. It divides a chunk, whose points are then
computed once."""

SPARK_CHUNKS: Final = 28
"""Whole chunks that a sparkline covers, beside the newest: 896 panes, nearly the 15 minutes that pages draw."""


SETTLED_PANES: Final = 5
"""Panes behind the newest in which a number that was left out may still come: from the other of two producers, or out
of order."""


class Rolling:
    """The windows of one market, each of so many panes. ``version`` rises whenever the market has changed."""

    def __init__(self, market: Market, windows: Sequence[int]) -> None:
        self.market = market
        self.version = 0
        self._windows = sorted(windows)
        # Points of the sparkline, by chunk.
        self._points: dict[int, list[float | None]] = {}
        self._figures: list[WindowFigures] = []
        self._missing: list[int] = []
        market.stale.add(-1)

    def poll(self) -> bool:
        """Take note of what changed since the last call; return whether anything did."""
        stale = self.market.stale
        if not stale:
            return False
        for at in stale:
            self._points.pop(at, None)
        stale.clear()
        self._figures, self._missing = [], []
        self.version += 1
        return True

    def figures(self) -> list[WindowFigures]:
        """Return the figures of each window that ends with the newest pane, shortest first."""
        self.poll()
        if not self._figures:
            self._figures = self.market.windows(self.market.watermark, self._windows)
        return self._figures

    def missing(self) -> list[int]:
        """Return how many trades may be missing in each of these windows, where the venue numbers its trades."""
        self.poll()
        if not self._missing:
            newest = self.market.watermark
            gaps = [gap for gap in self.market.gaps() if gap.latest <= newest - SETTLED_PANES]
            self._missing = [missing(gaps, newest - window + 1, newest) for window in self._windows]
        return self._missing

    def spark(self) -> tuple[int, list[float | None]]:
        """Return the pane after the newest whole step, and the last price of each step up to it, oldest first.

        Steps before the first price are left out.
        """
        newest = self.market.watermark // CHUNK_PANES
        known, self._points = self._points, {}
        points: list[float | None] = []
        for at in range(newest - SPARK_CHUNKS, newest):
            chunk = self.market.chunks.get(at)
            if chunk is not None:
                self._points[at] = known.get(at) or _points(chunk.panes)
                points += self._points[at]
            elif points:
                points += [None] * (CHUNK_PANES // SPARK_STEP)
        whole = self.market.watermark % CHUNK_PANES // SPARK_STEP
        if (chunk := self.market.chunks.get(newest)) is not None:
            points += _points(chunk.panes)[:whole]
        return newest * CHUNK_PANES + whole * SPARK_STEP, points


def _points(panes: Sequence[Pane | None]) -> list[float | None]:
    """Return the last price of each step of a chunk."""
    return [
        next(
            (pane.last_price for pane in reversed(panes[at : at + SPARK_STEP]) if pane is not None and pane.count), None
        )
        for at in range(0, CHUNK_PANES, SPARK_STEP)
    ]
