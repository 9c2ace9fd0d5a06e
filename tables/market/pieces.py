"""Parts of a market that rest, added up: what windows are made of, so that they cost the same however long. Pure."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from streams.model.amounts import UNITS_PER_BASE
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.panes import Pane
from tables.market.windows import WindowFigures, WindowSums, figures_of

BLOCK_CHUNKS: Final = 8
"""Chunks in a block: an hour is then 14 blocks, and what a window cuts off at its old end some chunks and panes."""

BLOCK_PANES: Final = BLOCK_CHUNKS * CHUNK_PANES

CHUNK_PIECES: Final = 64
"""Chunks of one market whose sums are kept, 0.9 kB each. Four windows use about 20 of them at a time."""

SQUARES: Final = 2.0**160
"""Squared returns are added up as integers, in units of 2**-160: exactly, in any order.

Two doubles that differ do so by at least 2**-53 of their size. So a return is at least as large, and its square is a
double without a bit below 2**-158.
"""

_SQUARES: Final = int(SQUARES)


class Piece(msgspec.Struct, gc=False, frozen=True):
    """Panes that follow each other as one: their sums without ids, the close of the first, squared returns between."""

    total: Pane
    first_close: float
    squares: int


_EMPTY: Final = Piece(Pane([]), 0.0, 0)


def square(before: float, after: float) -> int:
    """Return the squared log return of two prices, times :data:`SQUARES`."""
    log_return = math.log(after / before)
    return int(log_return * log_return * SQUARES)


def summed(panes: Sequence[Pane | None]) -> Piece:
    """Return panes in time order as one, each read but once: a pane after the other takes twice as long."""
    held = [pane for pane in panes if pane is not None and pane.count]
    if not held:
        return _EMPTY
    first, last = held[0], held[-1]
    carried, fraction = divmod(sum([pane.fraction for pane in held]), UNITS_PER_BASE)
    closes = [pane.last_price for pane in held]
    total = Pane(
        [],
        sum([pane.count for pane in held]),
        sum([pane.notional for pane in held]),
        sum([pane.rest for pane in held]),
        sum([pane.whole for pane in held]) + carried,
        fraction,
        sum([pane.buy for pane in held]),
        sum([pane.sell for pane in held]),
        sum([pane.long_liquidated for pane in held]),
        sum([pane.short_liquidated for pane in held]),
        max([pane.largest for pane in held]),
        max([pane.high for pane in held]),
        min([pane.low for pane in held]),
        first.first_us, first.first_id, first.first_price,
        last.last_us, last.last_id, last.last_price,
    )  # fmt: skip
    return Piece(total, closes[0], _squares(closes))


def _squares(closes: Sequence[float]) -> int:
    return sum([square(before, after) for before, after in pairwise(closes) if before != after])


class Walk:
    """A walk back in time over panes and pieces, and their sums as far as it has come."""

    __slots__ = ("_close", "_squares", "_total")

    def __init__(self) -> None:
        self._total = Pane([])
        self._squares = 0
        self._close = 0.0

    def take(self, piece: Piece) -> None:
        """Add what lies before the panes taken so far."""
        if piece.total.count:
            self._squares += piece.squares
            self._add(piece.total, piece.first_close, piece.total.last_price)

    def _add(self, total: Pane, first_close: float, last_close: float) -> None:
        self._total.add_figures(total)
        if self._close and self._close != last_close:
            self._squares += square(last_close, self._close)
        self._close = first_close

    def piece(self) -> Piece:
        """Return what was walked over; the walk is over."""
        return Piece(self._total, self._close, self._squares)

    def figures(self) -> WindowFigures:
        """Return the figures of what was walked over so far."""
        # Division of integers rounds correctly, as a sum of all squares by math.fsum does.
        sums = WindowSums(*msgspec.structs.astuple(self._total))
        sums.realized_volatility = math.sqrt(self._squares / _SQUARES)
        return figures_of(sums)


def piece_of(chunk: Chunk, first: int = 0, last: int = CHUNK_PANES - 1) -> Piece:
    """Return the panes of a chunk at rest as one, from a place to another, both included."""
    columns = chunk.columns()
    if columns is None:
        return summed(chunk.panes[first : last + 1])
    if (first, last) != (0, CHUNK_PANES - 1):
        columns = columns.between(first, last)
    columns = columns.with_figures()
    closes = columns.closes()
    if not closes:
        return _EMPTY
    return Piece(columns.total(), closes[0], _squares(closes))


class Pieces:
    """The sums of chunks and blocks of one market, each computed when a window first needs it.

    Only what rests has any. Whoever wakes a chunk, or forgets it, calls :meth:`discard`.
    """

    __slots__ = ("_blocks", "_chunks")

    def __init__(self) -> None:
        self._chunks: dict[int, Piece] = {}
        self._blocks: dict[int, Piece] = {}

    def discard(self, at: int) -> None:
        """Forget the sums that a chunk is part of."""
        self._chunks.pop(at, None)
        self._blocks.pop(at // BLOCK_CHUNKS, None)

    def clear(self) -> None:
        """Forget all."""
        self._chunks.clear()
        self._blocks.clear()

    def walk(self, walk: Walk, chunks: Mapping[int, Chunk], start: int, end: int) -> None:
        """Walk from the pane before ``end`` back to pane ``start``."""
        while end > start:
            at = (end - 1) // CHUNK_PANES
            chunk_start = at * CHUNK_PANES
            block_start = at // BLOCK_CHUNKS * BLOCK_PANES
            if end == block_start + BLOCK_PANES and block_start >= start:
                block = self._block(chunks, at // BLOCK_CHUNKS)
                if block is not None:
                    walk.take(block)
                    end = block_start
                    continue
            chunk = chunks.get(at)
            if chunk is not None:
                first, last = max(start - chunk_start, 0), end - 1 - chunk_start
                if chunk.awake is not None:
                    walk.take(summed(chunk.awake[first : last + 1]))
                elif (first, last) == (0, CHUNK_PANES - 1):
                    walk.take(self._chunk(chunk))
                else:
                    walk.take(piece_of(chunk, first, last))
            end = chunk_start

    def _chunk(self, chunk: Chunk) -> Piece:
        piece = self._chunks.get(chunk.number)
        if piece is None:
            if len(self._chunks) >= CHUNK_PIECES:
                self._chunks.clear()
            piece = self._chunks[chunk.number] = piece_of(chunk)
        return piece

    def _block(self, chunks: Mapping[int, Chunk], number: int) -> Piece | None:
        """Return a block as one, None where a chunk of it is counted into."""
        block = self._blocks.get(number)
        if block is None:
            first = number * BLOCK_CHUNKS
            held = [chunk for at in range(first, first + BLOCK_CHUNKS) if (chunk := chunks.get(at)) is not None]
            if any(chunk.awake is not None for chunk in held):
                return None
            walk = Walk()
            for chunk in reversed(held):
                piece = self._chunks.get(chunk.number)
                walk.take(piece_of(chunk) if piece is None else piece)
                self._chunks.pop(chunk.number, None)
            block = walk.piece()
            if held:
                self._blocks[number] = block
        return block
