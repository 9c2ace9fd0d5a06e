"""One market's panes in time: its clock, the panes that are kept, and the rule window's running sums. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.crowding import Crowd
from tables.market.liveness import places
from tables.market.panes import Pane
from tables.market.pieces import Pieces, Walk
from tables.market.span import Span
from tables.market.windows import WindowFigures

ALL_FIGURED: Final = (1 << CHUNK_PANES) - 1

MAX_AWAKE_CHUNKS: Final = 4
"""Chunks of a market, 20 kB each, that may wait awake for their flush. Where event time runs fast, more come between
two flushes. Those rest, with 4 kB of what is to be stored."""


class _Leaving:
    """Of one chunk, whose panes leave the rule window one after another: what each takes away, by its place."""

    __slots__ = ("at", "liquidated", "volumes")

    def __init__(self, chunk: Chunk) -> None:
        self.at = chunk.number
        volumes, liquidated = chunk.volumes()
        self.volumes, self.liquidated = array("q", volumes), array("q", liquidated)


class Timeline:
    """The panes of the last ``span.retention`` seconds up to the newest, which is the clock.

    ``volume`` and ``liquidated`` are the sums of the rule window that ends with it, in micro-USD.
    """

    __slots__ = (
        "_awake",
        "_dirty",
        "_end_at",
        "_first_at",
        "_leaving",
        "_numbers",
        "_pieces",
        "_unflushed",
        "chunks",
        "covered_since",
        "flushed_watermark",
        "liquidated",
        "span",
        "stale",
        "volume",
        "watermark",
    )

    def __init__(self, span: Span) -> None:
        self.span = span
        self.chunks: dict[int, Chunk] = {}
        self.watermark = -1
        self.flushed_watermark = -1
        # The first pane that is all there: where counting began. None if an earlier release began this state.
        self.covered_since: int | None = None
        self.volume = 0
        self.liquidated = 0
        # Chunks that changed since the last flush.
        self._dirty: set[int] = set()
        # Chunks that changed since the web view looked.
        self.stale: set[int] = set()
        # Panes with figures, in order. From the first place to the end place they are in the running sums.
        self._numbers = array("I")
        self._first_at = self._end_at = 0
        # Chunks whose panes are objects: the newest, and those that late trades woke since it began.
        self._awake: set[int] = set()
        # Chunks that rest, and keep what is to be stored of them until it is.
        self._unflushed: frozenset[int] = frozenset()
        self._leaving: _Leaving | None = None
        self._pieces = Pieces()

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
        panes = self._counted_into(number // CHUNK_PANES)
        pane = panes[number % CHUNK_PANES]
        if pane is None:
            pane = panes[number % CHUNK_PANES] = Pane([])
        return pane

    def can_append(self, number: int) -> bool:
        """Whether nothing is known of a pane ahead of the clock, nor of any behind it.

        Otherwise this state was restored from chunks that are newer than its head.
        """
        numbers = self._numbers
        return (not numbers or numbers[-1] < number) and self.pane(number) is None

    def append(self, number: int, pane: Pane) -> None:
        """Advance the clock to a pane of live fills, which :meth:`can_append` says is a new one."""
        self._advance(number)
        at, place = divmod(number, CHUNK_PANES)
        self._counted_into(at)[place] = pane
        chunk = self.chunks[at]
        if chunk.quiet:
            chunk.quiet &= ~(1 << place)
        self._numbers.append(number)
        self._end_at += 1
        self.volume += pane.notional

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
        return chunk

    def _wake(self, chunk: Chunk) -> list[Pane | None]:
        if len(self._awake) > MAX_AWAKE_CHUNKS:
            self.rest()
        self._awake.add(chunk.number)
        self._pieces.discard(chunk.number)
        if self._leaving is not None and self._leaving.at == chunk.number:
            self._leaving = None
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
        panes = self._wake(self.chunks[number // CHUNK_PANES])
        pane = panes[number % CHUNK_PANES]
        if pane is None:
            return
        panes[number % CHUNK_PANES] = before
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
        if len(self._awake) > MAX_AWAKE_CHUNKS:
            self.rest()
        self.watermark = number
        if self.flushed_watermark < 0:
            self.flushed_watermark = self.covered_since = number
        numbers = self._numbers
        if self._end_at < len(numbers):
            self._enter_to(number)
        first = number - self.span.window + 1
        while self._first_at < self._end_at and numbers[self._first_at] < first:
            self._leave(numbers[self._first_at])
            self._first_at += 1
        if self.chunks and next(iter(self.chunks)) < self.oldest // CHUNK_PANES:
            self._evict()

    def _leave(self, number: int) -> None:
        """Take a pane out of the running sums."""
        at, place = divmod(number, CHUNK_PANES)
        chunk = self.chunks[at]
        if chunk.awake is not None:
            pane = chunk.awake[place]
            if pane is not None:
                self.volume -= pane.notional
                self.liquidated -= pane.liquidated
            return
        if self._leaving is None or self._leaving.at != at:
            self._leaving = _Leaving(chunk)
        self.volume -= self._leaving.volumes[place]
        self.liquidated -= self._leaving.liquidated[place]

    def _enter_to(self, number: int) -> None:
        # Panes ahead of the clock exist only after a restore whose chunks are newer than its head.
        entering = bisect_right(self._numbers, number, self._end_at)
        for _, pane in self._between(self._end_at, entering):
            self.volume += pane.notional
            self.liquidated += pane.liquidated
        self._end_at = entering

    def _evict(self) -> None:
        oldest_chunk = self.oldest // CHUNK_PANES
        for at in [at for at in self.chunks if at < oldest_chunk]:
            del self.chunks[at]
            self._dirty.discard(at)
            self._awake.discard(at)
            self._pieces.discard(at)
            self.stale.discard(at)
        keep = bisect_left(self._numbers, oldest_chunk * CHUNK_PANES)
        del self._numbers[:keep]
        self._first_at = max(0, self._first_at - keep)
        self._end_at = max(0, self._end_at - keep)

    def _sum_anew(self) -> None:
        self.volume = self.liquidated = 0
        self._leaving = None
        self._pieces.clear()
        self._numbers = array("I")
        for at, chunk in sorted(self.chunks.items()):
            figured, first = chunk.figured, at * CHUNK_PANES
            if figured == ALL_FIGURED:
                self._numbers.extend(range(first, first + CHUNK_PANES))
            else:
                self._numbers.extend(first + place for place in places(figured))
        self._first_at = self._end_at = bisect_left(self._numbers, self.watermark - self.span.window + 1)
        self._enter_to(self.watermark)

    def sums(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Yield (pane, volume, liquidated) of the rule window that ends with each non-empty pane ``first..last``."""
        numbers, window = self._numbers, self.span.window
        start, end = bisect_left(numbers, first), bisect_right(numbers, last)
        head = self._between(start, end)
        entering = bisect_left(numbers, first - window + 1)
        if self._end_at - start < start - entering:
            # Nearer to the clock than a window is long: few panes lie between its sums and the running ones.
            volume, liquidated = self.volume, self.liquidated
            gained, lost = self._between(entering, self._first_at), self._between(start, self._end_at)
        else:
            volume = liquidated = 0
            gained, lost = self._between(entering, start), iter(())
        for _, pane in gained:
            volume += pane.notional
            liquidated += pane.liquidated
        for _, pane in lost:
            volume -= pane.notional
            liquidated -= pane.liquidated
        leaving = self._between(entering, end)
        left, left_pane = next(leaving, (last, None))
        for number, pane in head:
            volume += pane.notional
            liquidated += pane.liquidated
            while left_pane is not None and left <= number - window:
                volume -= left_pane.notional
                liquidated -= left_pane.liquidated
                left, left_pane = next(leaving, (last, None))
            yield number, volume, liquidated

    def panes(self, first: int, last: int) -> Iterator[tuple[int, Pane]]:
        """Yield (number, pane) of the non-empty panes ``first..last`` in time order. They are for reading only."""
        return self._between(bisect_left(self._numbers, first), bisect_right(self._numbers, last))

    def figures(self, last: int, window: int) -> WindowFigures:
        """Return the figures of the window of ``window`` panes that ends with pane ``last``."""
        return self.windows(last, (window,))[0]

    def windows(self, last: int, windows: Sequence[int]) -> list[WindowFigures]:
        """Return the figures of windows of so many panes, shortest first, that end with pane ``last``."""
        walk, end, found = Walk(), last + 1, []
        for window in windows:
            start = last - window + 1
            self._pieces.walk(walk, self.chunks, start, end)
            found.append(walk.figures())
            end = start
        return found

    def _between(self, start: int, end: int) -> Iterator[tuple[int, Pane]]:
        """Yield (number, pane) of panes with figures, from a place in their order to another."""
        known = -1
        panes: Sequence[Pane | None] = ()
        for number in self._numbers[start:end]:
            at = number // CHUNK_PANES
            if at != known:
                known, panes = at, self.chunks[at].panes
            pane = panes[number % CHUNK_PANES]
            if pane is not None:
                yield number, pane

    def must_flush(self) -> bool:
        """Whether event time has run so far past the last flush that state must be stored before going on."""
        return self.watermark - self.flushed_watermark > self.span.slack

    def must_flush_before(self, number: int) -> bool:
        """Whether what is not flushed must be, before a pane so far ahead takes the place of what a replay needs."""
        return self.watermark > self.flushed_watermark and number - self.flushed_watermark > self.span.slack
