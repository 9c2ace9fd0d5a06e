"""Every window of a market at once. The cost depends on what changed, not on how long the windows are.

All windows of a market end with the same pane, so one walk back in time serves them all. A whole chunk of panes that
has not changed is one step of that walk.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.panes import Pane
from tables.market.state import Market
from tables.market.windows import WindowFigures, WindowSums, figures_of

SPARK_STEP: Final = 8
"""Panes in one point of a sparkline: pages draw 900 panes in 108 pixels. It divides a chunk, whose points are then
computed once."""

SPARK_CHUNKS: Final = 28
"""Whole chunks that a sparkline covers, beside the newest: 896 panes, nearly the 15 minutes that pages draw."""


class _Piece:
    """A chunk's panes as one: total, closes at both ends, squared log returns between, points of the sparkline."""

    __slots__ = ("first_close", "last_close", "points", "squares", "total")

    def __init__(self, chunk: Chunk) -> None:
        self.total = Pane([])
        closes = []
        for pane in chunk.panes:
            if pane is not None and pane.count:
                self.total.add_figures(pane)
                closes.append(pane.last_price)
        self.first_close = closes[0] if closes else 0.0
        self.last_close = closes[-1] if closes else 0.0
        self.squares = [_square(before, after) for before, after in pairwise(closes)]
        self.points = [_last_price(chunk.panes[at : at + SPARK_STEP]) for at in range(0, CHUNK_PANES, SPARK_STEP)]


class _Walk:
    """The sums of a walk back in time, as far as it has come."""

    def __init__(self) -> None:
        self.total = WindowSums([])
        self.squares: list[float] = []
        self._close = 0.0

    def take(self, total: Pane, first_close: float, last_close: float) -> None:
        """Add the panes before those taken so far."""
        self.total.add_figures(total)
        if self._close:
            self.squares.append(_square(last_close, self._close))
        self._close = first_close

    def figures(self) -> WindowFigures:
        self.total.realized_volatility = math.sqrt(math.fsum(self.squares))
        return figures_of(self.total)


class Rolling:
    """The windows of one market, each of so many panes. ``version`` rises whenever the market has changed."""

    def __init__(self, market: Market, windows: Sequence[int]) -> None:
        self.market = market
        self.version = 0
        self._windows = sorted(windows)
        self._pieces: dict[int, _Piece] = {}
        self._figures: list[WindowFigures] = []
        market.stale.add(-1)

    def poll(self) -> bool:
        """Take note of what changed since the last call; return whether anything did."""
        stale = self.market.stale
        if not stale:
            return False
        for at in stale:
            self._pieces.pop(at, None)
        stale.clear()
        self._figures = []
        self.version += 1
        return True

    def figures(self) -> list[WindowFigures]:
        """Return the figures of each window that ends with the newest pane, shortest first.

        They equal :meth:`tables.market.state.Market.figures` in every bit.
        """
        self.poll()
        if not self._figures:
            self._forget_evicted()
            walk, end = _Walk(), self.market.watermark + 1
            for window in self._windows:
                start = self.market.watermark - window + 1
                self._walk_back(walk, end, start)
                self._figures.append(walk.figures())
                end = start
        return self._figures

    def _walk_back(self, walk: _Walk, end: int, start: int) -> None:
        newest = self.market.watermark // CHUNK_PANES
        while end > start:
            at = (end - 1) // CHUNK_PANES
            chunk_start = at * CHUNK_PANES
            chunk = self.market.chunks.get(at)
            if chunk is not None:
                if at != newest and chunk_start >= start and end == chunk_start + CHUNK_PANES:
                    piece = self._piece(at, chunk)
                    if piece.total.count:
                        walk.take(piece.total, piece.first_close, piece.last_close)
                        walk.squares += piece.squares
                else:
                    for number in range(end - 1, max(start, chunk_start) - 1, -1):
                        pane = chunk.panes[number % CHUNK_PANES]
                        if pane is not None and pane.count:
                            walk.take(pane, pane.last_price, pane.last_price)
            end = chunk_start

    def _piece(self, at: int, chunk: Chunk) -> _Piece:
        piece = self._pieces.get(at)
        if piece is None:
            piece = self._pieces[at] = _Piece(chunk)
        return piece

    def _forget_evicted(self) -> None:
        if len(self._pieces) > len(self.market.chunks):
            for at in [at for at in self._pieces if at not in self.market.chunks]:
                del self._pieces[at]

    def spark(self) -> tuple[int, list[float | None]]:
        """Return the pane after the newest whole step, and the last price of each step up to it, oldest first.

        Steps before the first price are left out.
        """
        newest = self.market.watermark // CHUNK_PANES
        points: list[float | None] = []
        for at in range(newest - SPARK_CHUNKS, newest):
            chunk = self.market.chunks.get(at)
            if chunk is not None:
                points += self._piece(at, chunk).points
            elif points:
                points += [None] * (CHUNK_PANES // SPARK_STEP)
        whole = self.market.watermark % CHUNK_PANES // SPARK_STEP
        if (chunk := self.market.chunks.get(newest)) is not None:
            points += [_last_price(chunk.panes[n * SPARK_STEP : (n + 1) * SPARK_STEP]) for n in range(whole)]
        return newest * CHUNK_PANES + whole * SPARK_STEP, points


def _last_price(panes: Sequence[Pane | None]) -> float | None:
    return next((pane.last_price for pane in reversed(panes) if pane is not None and pane.count), None)


def _square(before: float, after: float) -> float:
    log_return = math.log(after / before)
    return log_return * log_return
