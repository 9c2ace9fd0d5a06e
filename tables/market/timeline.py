"""One market's panes in time: its clock, the panes that are kept, and the rule window's running sums. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.kept import MAX_AWAKE_CHUNKS, KeptPanes
from tables.market.liveness import places
from tables.market.panes import Pane
from tables.market.pieces import Walk
from tables.market.span import Span
from tables.market.windows import WindowFigures

ALL_FIGURED: Final = (1 << CHUNK_PANES) - 1


class _Leaving:
    """Of one chunk, whose panes leave the rule window one after another: what each takes away, by its place."""

    __slots__ = ("at", "liquidated", "volumes")

    def __init__(self, chunk: Chunk) -> None:
        self.at = chunk.number
        volumes, liquidated = chunk.volumes()
        self.volumes, self.liquidated = array("q", volumes), array("q", liquidated)


class Timeline(KeptPanes):
    """The panes of the last ``span.retention`` seconds up to the newest, which is the clock.

    ``volume`` and ``liquidated`` are the sums of the rule window that ends with it, in micro-USD.
    """

    __slots__ = (
        "_end_at",
        "_first_at",
        "_leaving",
        "_numbers",
        "covered_since",
        "flushed_watermark",
        "liquidated",
        "volume",
    )

    def __init__(self, span: Span) -> None:
        super().__init__(span)
        self.flushed_watermark = -1
        # The first pane that is all there: where counting began. None if an earlier release began this state.
        self.covered_since: int | None = None
        self.volume = 0
        self.liquidated = 0
        # Panes with figures, in order. From the first place to the end place they are in the running sums.
        self._numbers = array("I")
        self._first_at = self._end_at = 0
        self._leaving: _Leaving | None = None

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

    def can_extend(self, numbers: Sequence[int]) -> bool:
        """Whether nothing is known of these panes, which are ahead of the clock, nor of any behind the clock.

        Nor may event time run so far with them that state must be flushed first.
        """
        known = self._numbers
        if not known or known[-1] >= numbers[0] or self._end_at < len(known):
            return False
        if numbers[-1] - self.flushed_watermark > self.span.slack:
            return False
        newest, chunks = self.watermark // CHUNK_PANES, self.chunks
        if any(at in chunks for at in range(newest + 1, numbers[-1] // CHUNK_PANES + 1)):
            return False
        return newest in chunks and not any(chunks[newest].panes[self.watermark % CHUNK_PANES + 1 :])

    def extend(self, numbers: Sequence[int], panes: Sequence[Pane], volume: int) -> None:
        """Advance the clock over panes of live fills, which :meth:`can_extend` says are new; ``volume`` is theirs."""
        self.volume += volume
        start = 0
        while start < len(numbers):
            at = numbers[start] // CHUNK_PANES
            first = at * CHUNK_PANES
            end = bisect_left(numbers, first + CHUNK_PANES, start)
            if len(self._awake) > MAX_AWAKE_CHUNKS:
                self.rest()
            self.watermark = numbers[end - 1]
            into = self._counted_into(at)
            for number, pane in zip(numbers[start:end], panes[start:end], strict=True):
                into[number - first] = pane
            chunk = self.chunks[at]
            if chunk.quiet:
                chunk.quiet &= ~sum(1 << number - first for number in numbers[start:end])
            self._numbers.extend(numbers[start:end])
            self._end_at += end - start
            self._leave_to(self.watermark - self.span.window + 1)
            start = end

    def _wake(self, chunk: Chunk) -> list[Pane | None]:
        if self._leaving is not None and self._leaving.at == chunk.number:
            self._leaving = None
        return super()._wake(chunk)

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
        self._leave_to(number - self.span.window + 1)

    def _leave_to(self, first: int) -> None:
        """Take the panes before ``first`` out of the running sums, and forget those that are no longer kept."""
        numbers = self._numbers
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
            self._ids.discard(at)
            self.stale.discard(at)
        keep = bisect_left(self._numbers, oldest_chunk * CHUNK_PANES)
        del self._numbers[:keep]
        self._first_at = max(0, self._first_at - keep)
        self._end_at = max(0, self._end_at - keep)

    def _sum_anew(self) -> None:
        self.volume = self.liquidated = 0
        self._leaving = None
        self._pieces.clear()
        self._ids.clear()
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
