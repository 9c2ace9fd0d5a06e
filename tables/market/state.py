"""One market's state in memory: its panes, its clock, the rule window's running sums and its alert marks.

Pure: frames go in, panes touched come out. Loading and storing is :mod:`tables.keeper`'s.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from streams.model.figures import change_pct
from streams.model.kinds import MarketKind, implied_kind, kind_to_name
from tables.market.chunks import CHUNK_PANES, CLOSING, Chunk, Head, closing, closing_of, named_kind, naming
from tables.market.coverage import covered_since, covering
from tables.market.crowding import Crowd
from tables.market.episodes import Mark, forget
from tables.market.formats import NO_TAIL, Tail
from tables.market.liveness import places
from tables.market.panes import Pane
from tables.market.windows import WindowFigures, figures


class Span(msgspec.Struct, frozen=True):
    """How long things are kept, in panes: the rule window, how far back panes are kept, and the ring of stored chunks.

    The ring is ``slack`` panes longer than what is kept, and state is flushed before event time runs ``slack`` panes
    past the last flush. So a flush cut short by a crash never overwrites a chunk that a replay still needs.
    """

    window: int
    retention: int
    # A live market flushes every second and never comes near. A recording may pass hours between two commits: each hour
    # then costs one more flush. An hour of slack adds 113 keys to a market that trades every second.
    slack: int = 3600

    @property
    def slots(self) -> int:
        """Chunks in the stored ring."""
        return -(-(self.retention + self.slack) // CHUNK_PANES) + 2


class Market:
    """The state of one (venue, symbol). ``kind`` is what its frames say, or what its stored head says."""

    __slots__ = (
        "_dirty",
        "_emptied",
        "_end_at",
        "_first_at",
        "_judged",
        "_numbers",
        "chunks",
        "covered_since",
        "flushed_watermark",
        "is_midway",
        "judges_closed_panes",
        "kind",
        "liquidated",
        "marks",
        "offset",
        "received_us",
        "span",
        "stale",
        "symbol",
        "tail",
        "venue",
        "volume",
        "watermark",
    )

    def __init__(self, venue: str, symbol: str, span: Span, kind: MarketKind | None = None) -> None:
        self.venue = venue
        self.symbol = symbol
        self.kind = kind or implied_kind(symbol)
        self.span = span
        self.chunks: dict[int, Chunk] = {}
        self.watermark = -1
        self.flushed_watermark = -1
        self.offset = -1
        # The first pane that is all there: where counting began. None if an earlier release began this state.
        self.covered_since: int | None = None
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
        self.volume = 0
        self.liquidated = 0
        self._dirty: set[int] = set()
        # Slots of the stored ring whose chunks were forgotten, and must be in the store too.
        self._emptied: set[int] = set()
        # Chunks that changed since the web view looked.
        self.stale: set[int] = set()
        # Panes with figures, in order. From the first place to the end place they are in the running sums.
        self._numbers: list[int] = []
        self._first_at = self._end_at = 0

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
        self._sum_anew()

    def _sum_anew(self) -> None:
        self.volume = self.liquidated = 0
        self._numbers = [
            number * CHUNK_PANES + n
            for number, chunk in sorted(self.chunks.items())
            for n, pane in enumerate(chunk.panes)
            if pane is not None and pane.count
        ]
        self._first_at = self._end_at = bisect_left(self._numbers, self.watermark - self.span.window + 1)
        self._enter_to(self.watermark)

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

    def open_pane(self, number: int) -> Pane | None:
        """Return the pane to count trades into, advancing the clock to it, or None where it is too old to be kept.

        The caller reports what it added through :meth:`counted`.
        """
        if number > self.watermark:
            self._advance(number)
        elif number < self.oldest:
            return None
        at = number // CHUNK_PANES
        chunk = self.chunks.get(at)
        if chunk is None:
            chunk = self.chunks[at] = Chunk(-1, at, [None] * CHUNK_PANES)
        self._dirty.add(at)
        self.stale.add(at)
        pane = chunk.panes[number % CHUNK_PANES]
        if pane is None:
            pane = chunk.panes[number % CHUNK_PANES] = Pane([])
        return pane

    def crowd(self, number: int, pane: Pane) -> Crowd:
        """Return what says whether there is room for ids in this pane, which is open, while nothing else changes."""
        return Crowd(self.chunks[number // CHUNK_PANES].panes, pane)

    def counted(self, number: int, pane: Pane, notional: int, liquidated: int) -> None:
        """Bring running sums up to date after a pane gained ``notional`` and ``liquidated`` micro-USD."""
        if not pane.count:
            return
        numbers = self._numbers
        at = bisect_left(numbers, number) if numbers and number <= numbers[-1] else len(numbers)
        in_window = number > self.watermark - self.span.window
        if at == len(numbers) or numbers[at] != number:
            numbers.insert(at, number)
            self._end_at += 1
            if not in_window:
                self._first_at += 1
        if in_window:
            self.volume += notional
            self.liquidated += liquidated

    def put_back(self, number: int, before: Pane | None) -> None:
        """Undo what was counted into a pane behind the clock since it was ``before``: a copy, or None for no pane."""
        chunk = self.chunks[number // CHUNK_PANES]
        pane = chunk.panes[number % CHUNK_PANES]
        if pane is None:
            return
        chunk.panes[number % CHUNK_PANES] = before
        notional, liquidated, count = (before.notional, before.liquidated, before.count) if before else (0, 0, 0)
        in_window = number > self.watermark - self.span.window
        if in_window:
            self.volume -= pane.notional - notional
            self.liquidated -= pane.liquidated - liquidated
        if pane.count and not count:
            del self._numbers[bisect_left(self._numbers, number)]
            self._end_at -= 1
            self._first_at -= not in_window

    def _advance(self, number: int) -> None:
        self.watermark = number
        if self.flushed_watermark < 0:
            self.flushed_watermark = self.covered_since = number
        self._enter_to(number)
        first = number - self.span.window + 1
        while self._first_at < self._end_at and self._numbers[self._first_at] < first:
            pane = self.pane(self._numbers[self._first_at])
            if pane is not None:
                self.volume -= pane.notional
                self.liquidated -= pane.liquidated
            self._first_at += 1
        self._evict()

    def _enter_to(self, number: int) -> None:
        # Panes ahead of the clock exist only after a restore whose chunks are newer than its head.
        while self._end_at < len(self._numbers) and self._numbers[self._end_at] <= number:
            pane = self.pane(self._numbers[self._end_at])
            if pane is not None:
                self.volume += pane.notional
                self.liquidated += pane.liquidated
            self._end_at += 1

    def _evict(self) -> None:
        oldest_chunk = self.oldest // CHUNK_PANES
        if not self.chunks or next(iter(self.chunks)) >= oldest_chunk:
            return
        for at in [at for at in self.chunks if at < oldest_chunk]:
            del self.chunks[at]
            self._dirty.discard(at)
            self.stale.discard(at)
        keep = bisect_left(self._numbers, oldest_chunk * CHUNK_PANES)
        del self._numbers[:keep]
        self._first_at = max(0, self._first_at - keep)
        self._end_at = max(0, self._end_at - keep)

    def turn_back(self, latest: int) -> bool:
        """Forget the panes after ``latest``, and the alerts raised there; return false where the clock is not past it.

        What is kept of the panes before stays. The clock then is at the newest of them, or where the next trade puts
        it. Panes that had left what is kept when the clock ran ahead stay forgotten, also in the store.
        """
        if self.watermark <= latest:
            return False
        oldest = self.oldest
        self.stale |= self.chunks.keys()
        for at, chunk in list(self.chunks.items()):
            first = at * CHUNK_PANES
            chunk.panes = [pane if oldest <= first + n <= latest else None for n, pane in enumerate(chunk.panes)]
            chunk.quiet &= sum(1 << n for n, pane in enumerate(chunk.panes) if pane is not None)
            if chunk.panes.count(None) == CHUNK_PANES:
                del self.chunks[at]
        newest = max(self.chunks, default=None)
        self.watermark = -1
        if newest is not None:
            held = [n for n, pane in enumerate(self.chunks[newest].panes) if pane is not None]
            self.watermark = newest * CHUNK_PANES + held[-1]
        for marks in self.marks.values():
            marks[:] = [mark for mark in marks if mark.pane <= self.watermark]
        self.flushed_watermark = self.watermark
        self._dirty = set(self.chunks)
        self._emptied = set(range(self.span.slots)) - {at % self.span.slots for at in self.chunks}
        self._sum_anew()
        return True

    def take_emptied(self) -> list[Chunk]:
        """Return a chunk without panes, and of no time that is kept, for each slot that must be empty in the store."""
        emptied, self._emptied = self._emptied, set()
        return [Chunk(self.offset, slot, [None] * CHUNK_PANES) for slot in sorted(emptied)]

    def sums(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Yield (pane, volume, liquidated) of the rule window that ends with each non-empty pane ``first..last``."""
        numbers = self._numbers
        tail = bisect_left(numbers, first - self.span.window + 1)
        volume = liquidated = 0
        for at in range(tail, len(numbers)):
            number = numbers[at]
            if number > last:
                return
            pane = self.pane(number)
            if pane is None:
                continue
            volume += pane.notional
            liquidated += pane.liquidated
            while numbers[tail] <= number - self.span.window:
                left = self.pane(numbers[tail])
                if left is not None:
                    volume -= left.notional
                    liquidated -= left.liquidated
                tail += 1
            if number >= first:
                yield number, volume, liquidated

    def panes(self, first: int, last: int) -> Iterator[tuple[int, Pane]]:
        """Yield (number, pane) of the non-empty panes ``first..last`` in time order."""
        numbers = self._numbers
        for at in range(bisect_left(numbers, first), len(numbers)):
            number = numbers[at]
            if number > last:
                return
            pane = self.pane(number)
            if pane is not None:
                yield number, pane

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

    def figures(self, last: int, window: int) -> WindowFigures:
        """Return the figures of the window of ``window`` panes that ends with pane ``last``."""
        return figures(pane for _, pane in self.panes(last - window + 1, last))

    def must_flush(self) -> bool:
        """Whether event time has run so far past the last flush that state must be stored before going on."""
        return self.watermark - self.flushed_watermark > self.span.slack

    def must_flush_before(self, number: int) -> bool:
        """Whether what is not flushed must be, before a pane so far ahead takes the place of what a replay needs."""
        return self.watermark > self.flushed_watermark and number - self.flushed_watermark > self.span.slack

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
