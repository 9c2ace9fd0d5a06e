"""One market's panes of the last while, in chunks that are awake or at rest. Pure."""

from typing import Final

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.crowding import Crowd
from tables.market.gaps import Gap, IdSpans
from tables.market.liveness import places
from tables.market.panes import Pane
from tables.market.pieces import Pieces
from tables.market.span import Span

MAX_AWAKE_CHUNKS: Final = 4
"""Chunks of a market, 20 kB each, that may wait awake for their flush. Where event time runs fast, more come between
two flushes. Those rest, with 4 kB of what is to be stored."""


class KeptPanes:
    """The panes of the last ``span.retention`` seconds up to ``watermark``."""

    __slots__ = ("_awake", "_dirty", "_ids", "_pieces", "_unflushed", "chunks", "span", "stale", "watermark")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.chunks: dict[int, Chunk] = {}
        self.watermark = -1
        # Chunks that changed since the last flush.
        self._dirty: set[int] = set()
        # Chunks that changed since the web view looked.
        self.stale: set[int] = set()
        # Chunks whose panes are objects: the newest, and those that late trades woke since it began.
        self._awake: set[int] = set()
        # Chunks that rest, and keep what is to be stored of them until it is.
        self._unflushed: frozenset[int] = frozenset()
        self._pieces = Pieces()
        self._ids = IdSpans()

    @property
    def oldest(self) -> int:
        """The oldest pane kept."""
        return self.watermark - self.span.retention + 1

    def pane(self, number: int) -> Pane | None:
        """Return the pane, or None where it is empty or no longer kept."""
        chunk = self.chunks.get(number // CHUNK_PANES)
        return chunk.panes[number % CHUNK_PANES] if chunk is not None else None

    def has_figures(self, number: int) -> bool:
        """Whether a pane holds a trade that enters windows."""
        pane = self.pane(number)
        return pane is not None and pane.count > 0

    def is_live(self, number: int) -> bool:
        """Whether a pane holds figures and a live trade, so that it may raise an alert."""
        chunk = self.chunks.get(number // CHUNK_PANES)
        if chunk is None or chunk.quiet >> number % CHUNK_PANES & 1:
            return False
        pane = chunk.panes[number % CHUNK_PANES]
        return pane is not None and pane.count > 0

    def gaps(self) -> list[Gap]:
        """Return what is missing between the ids of all panes, where the venue numbers its trades."""
        return self._ids.gaps(self.chunks)

    def mark(self, number: int, *, is_live: bool) -> None:
        """Take note whether an open pane that holds figures has a live trade."""
        chunk, bit = self.chunks[number // CHUNK_PANES], 1 << number % CHUNK_PANES
        if not is_live:
            chunk.quiet |= bit
        elif chunk.quiet & bit:
            chunk.quiet ^= bit

    def quiet_panes(self, first: int, last: int) -> frozenset[int]:
        """Return the panes that only snapshots have filled, of the chunks of panes ``first..last``."""
        return frozenset(
            at * CHUNK_PANES + place
            for at in range(first // CHUNK_PANES, last // CHUNK_PANES + 1)
            if (chunk := self.chunks.get(at)) is not None and chunk.quiet
            for place in places(chunk.quiet)
        )

    def _counted_into(self, at: int) -> list[Pane | None]:
        """Return the panes of a chunk, which change now."""
        chunk = self.chunks.get(at)
        if chunk is None:
            chunk = self._new_chunk(at)
        panes = chunk.awake
        if panes is None:
            panes = self._wake(chunk)
        self._dirty.add(at)
        self.stale.add(at)
        return panes

    def _new_chunk(self, at: int) -> Chunk:
        chunk = self.chunks[at] = Chunk(-1, at, [None] * CHUNK_PANES)
        self._awake.add(at)
        # A late trade may be the first of a chunk in a block whose sums are known.
        self._pieces.discard(at)
        self._ids.discard(at)
        return chunk

    def _wake(self, chunk: Chunk) -> list[Pane | None]:
        if len(self._awake) > MAX_AWAKE_CHUNKS:
            self.rest()
        self._awake.add(chunk.number)
        self._pieces.discard(chunk.number)
        self._ids.discard(chunk.number)
        return chunk.wake()

    def rest(self) -> None:
        """Pack the panes that nothing counts into any more: those behind the newest chunk.

        Those that are not flushed wait a while for that: they are encoded then.
        """
        newest, dirty = self.watermark // CHUNK_PANES, self._dirty
        is_full = len(self._awake) > MAX_AWAKE_CHUNKS
        resting = [at for at in self._awake if at != newest and (is_full or at not in dirty)]
        for at in resting:
            self.chunks[at].rest(is_flushed=at not in dirty)
            self._ids.discard(at)
        self._awake.difference_update(resting)
        self._unflushed |= dirty.intersection(resting)
        flushed = self._unflushed - dirty
        self._unflushed -= flushed
        for at in flushed:
            if (chunk := self.chunks.get(at)) is not None and chunk.awake is None:
                chunk.rest()

    def crowd(self, number: int, pane: Pane) -> Crowd:
        """Return what says whether there is room for ids in this pane, which is open, while nothing else changes."""
        return Crowd(self.chunks[number // CHUNK_PANES].panes, pane)
