"""One market's state in memory: its panes in time, its alert marks, and what of it the table has to hold.

Pure: frames go in, panes touched come out. Loading and storing is :mod:`tables.keeper`'s.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

from streams.model.figures import change_pct
from streams.model.kinds import MarketKind, implied_kind, kind_to_name
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import CLOSING, Head, closing, closing_of, named_kind, naming
from tables.market.coverage import covered_since, covering
from tables.market.episodes import Mark, forget
from tables.market.formats import NO_TAIL, Tail
from tables.market.span import Span
from tables.market.timeline import Timeline


class Market(Timeline):
    """The state of one (venue, symbol). ``kind`` is what its frames say, or what its stored head says."""

    __slots__ = (
        "_emptied",
        "_judged",
        "is_midway",
        "judges_closed_panes",
        "kind",
        "marks",
        "offset",
        "received_us",
        "symbol",
        "tail",
        "venue",
    )

    def __init__(self, venue: str, symbol: str, span: Span, kind: MarketKind | None = None) -> None:
        super().__init__(span)
        self.venue = venue
        self.symbol = symbol
        self.kind = kind or implied_kind(symbol)
        self.offset = -1
        # A message was counted in part: some chunks contain trades that ``offset`` does not cover yet.
        self.is_midway = False
        # Whether a rule of this market waits for panes to be over: only then does its head keep :data:`CLOSING`.
        self.judges_closed_panes = False
        # What comes before this message and row was judged by such rules, and its alerts are on their topic.
        self._judged = (-1, 0)
        self.received_us = 0
        self.marks: dict[str, list[Mark]] = {}
        # What a later release added to the head.
        self.tail: Tail = NO_TAIL
        # Slots of the stored ring whose chunks were forgotten, and must be in the store too.
        self._emptied: frozenset[int] = frozenset()

    def restore(self, head: Head | None, chunks: Iterable[Chunk]) -> None:
        """Take over stored state; chunks that have left what is kept are ignored."""
        if head is not None:
            self.watermark = self.flushed_watermark = head.watermark
            self.marks = head.marks
            self.kind = named_kind(head) or implied_kind(self.symbol)
            self.covered_since = covered_since(head.tail.more, head.watermark, self.span.retention)
            self.tail = head.tail.without(CLOSING)
        self.chunks = {
            chunk.number: chunk
            for chunk in sorted(chunks, key=lambda chunk: chunk.number)
            if chunk.number >= self.oldest // CHUNK_PANES
        }
        if head is not None:
            # If a flush was cut short after the head, what is written next must not claim the chunks that are missing.
            held = [self.chunks[at].offset if at in self.chunks else -1 for at in head.chunks]
            self.offset = min([head.offset, *held])
            if (told := closing_of(head)) is not None:
                self.judges_closed_panes = True
                is_live, ahead, row = told
                self._judged = (head.offset + ahead, row)
                if not is_live and self.has_figures(self.watermark):
                    # Its chunk does not say so where a release wrote it that marks no panes.
                    self.mark(self.watermark, is_live=False)
        self._awake = {at for at, chunk in self.chunks.items() if chunk.awake is not None}
        self.rest()
        self._sum_anew()

    def turn_back(self, latest: int) -> bool:
        """Forget the panes after ``latest``, and the alerts raised there; return false where the clock is not past it.

        What is kept of the panes before stays. The clock then is at the newest of them, or where the next trade puts
        it. Panes that had left what is kept when the clock ran ahead stay forgotten, also in the store.
        """
        if self.watermark <= latest:
            return False
        oldest = self.oldest
        self.covered_since = max(self.covered_since or 0, oldest)
        self.stale |= self.chunks.keys()
        for at, chunk in list(self.chunks.items()):
            first = at * CHUNK_PANES
            panes = self._wake(chunk)
            panes[:] = [pane if oldest <= first + n <= latest else None for n, pane in enumerate(panes)]
            chunk.quiet &= sum(1 << n for n, pane in enumerate(panes) if pane is not None)
            if panes.count(None) == CHUNK_PANES:
                del self.chunks[at]
                self._awake.discard(at)
        newest = max(self.chunks, default=None)
        self.watermark = -1
        if newest is not None:
            held = [n for n, pane in enumerate(self.chunks[newest].panes) if pane is not None]
            self.watermark = newest * CHUNK_PANES + held[-1]
        for marks in self.marks.values():
            marks[:] = [mark for mark in marks if mark.pane <= self.watermark]
        self.flushed_watermark = self.watermark
        self._dirty = set(self.chunks)
        self._emptied = frozenset(range(self.span.slots)) - {at % self.span.slots for at in self.chunks}
        self._sum_anew()
        return True

    def take_emptied(self) -> list[Chunk]:
        """Return a chunk without panes, and of no time that is kept, for each slot that must be empty in the store."""
        emptied, self._emptied = self._emptied, frozenset()
        return [Chunk(self.offset, slot, [None] * CHUNK_PANES) for slot in sorted(emptied)]

    def price_change_pct(self, last: int, window: int) -> float:
        """Return the change of price in the window of ``window`` panes that ends with pane ``last``, from its two ends.

        Raises :class:`LookupError` for an empty window.
        """
        numbers = self._numbers
        first_at, last_at = bisect_left(numbers, last - window + 1), bisect_right(numbers, last) - 1
        first = self.pane(numbers[first_at]) if first_at <= last_at else None
        final = self.pane(numbers[last_at])
        if first is None or final is None:
            raise LookupError(f"no pane of {self.venue} {self.symbol} in the window that ends with {last}")
        return change_pct(first.first_price, final.last_price)

    def took(self, offset: int, done: int, total: int) -> None:
        """Take note that ``done`` of a message's ``total`` trades are counted and judged."""
        self.is_midway = done < total
        if not self.is_midway:
            self.offset = max(self.offset, offset)
        self._judged = max(self._judged, (offset, done) if self.is_midway else (offset + 1, 0))

    def is_judged(self, offset: int, row: int) -> bool:
        """Whether a message's row was judged before this state was stored: what comes now is a replay of it."""
        return (offset, row) < self._judged

    def _closing(self) -> dict[str, msgspec.Raw]:
        if not self.judges_closed_panes:
            return {}
        offset, row = self._judged
        # By its distance from the head's offset, which is shifted when the broker is replaced.
        return closing(is_live=self.is_live(self.watermark), messages=offset - self.offset, row=row)

    def take_dirty(self) -> tuple[Head, list[Chunk]]:
        """Return what changed since the last call, stamped with the offset it contains.

        What is taken in the middle of a message is taken again at its end, with its own offset. Until then a worker
        that was frozen before the message may put back a chunk with the same offset and without its trades.
        """
        dirty = self._dirty
        if not self.is_midway:
            self._dirty = set()
        for marks in self.marks.values():
            forget(marks, self.oldest)
        changed = [self.chunks[at] for at in sorted(dirty) if at in self.chunks]
        for chunk in changed:
            chunk.offset = self.offset
        added = self._closing() | covering(self.covered_since, self.span.retention)
        if (told := kind_to_name(self.symbol, self.kind)) is not None:
            added |= naming(told)
        numbers = [chunk.number for chunk in changed]
        return Head(self.offset, self.watermark, self.marks, numbers, self.tail.adding(added)), changed
