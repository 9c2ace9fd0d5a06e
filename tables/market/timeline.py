"""One market's panes in time: its clock, the panes that are kept, and the rule window's running sums. Pure."""

from bisect import bisect_left
from collections.abc import Iterator

from tables.market.chunks import CHUNK_PANES, Chunk
from tables.market.crowding import Crowd
from tables.market.liveness import places
from tables.market.panes import Pane
from tables.market.span import Span


class Timeline:
    """The panes of the last ``span.retention`` seconds up to the newest, which is the clock.

    ``volume`` and ``liquidated`` are the sums of the rule window that ends with it, in micro-USD.
    """

    __slots__ = (
        "_dirty",
        "_end_at",
        "_first_at",
        "_numbers",
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
        self._numbers: list[int] = []
        self._first_at = self._end_at = 0

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

    def must_flush(self) -> bool:
        """Whether event time has run so far past the last flush that state must be stored before going on."""
        return self.watermark - self.flushed_watermark > self.span.slack

    def must_flush_before(self, number: int) -> bool:
        """Whether what is not flushed must be, before a pane so far ahead takes the place of what a replay needs."""
        return self.watermark > self.flushed_watermark and number - self.flushed_watermark > self.span.slack
