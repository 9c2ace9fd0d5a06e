"""Several recordings as one, in the order of time. No I/O.

Of each file only the batches of one chunk are held. A file whose own rows are out of order keeps their order.
"""

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from streams.model.trade import Batch, Trade

# As many trades as a chunk of one file holds: parsing so many takes some 10 ms.
_YIELDED_TRADES: Final = 4000


class _Source:
    """One file's batches, and how far they have been taken."""

    def __init__(self, batches: Iterator[list[Batch]], until_us: int) -> None:
        self._batches = batches
        self._until_us = until_us
        self._held: list[Batch] = []
        self._at = 0
        self._due_us = 0

    def due(self) -> int | None:
        """Return when the next trade happened, microseconds UTC, None where there is no more."""
        while not self._held:
            held = next(self._batches, None)
            if held is None:
                return None
            self._held, self._at = [batch for batch in reversed(held) if batch.trades or batch.rejects], 0
        due_us = when(self._held[-1], self._at)
        # A trade of the future, or of no known time, must not hold up the rest of its file.
        if due_us and due_us <= self._until_us:
            self._due_us = due_us
        return self._due_us

    def take(self, before_us: int | None, done: list[Batch]) -> int:
        """Move the next trades that happened before then, as far as they are of one batch, and at least one of them.

        Return how many they are. Trades that are not of one message come into one batch.
        """
        batch, start = self._held[-1], self._at
        trades, rejects = batch.trades, batch.rejects
        end = len(trades)
        if not is_divisible(batch):
            self._held.pop()
            done.append(batch)
            return end + 1
        if before_us is not None:
            end = next((at for at in range(start + 1, end) if trades[at].time_us >= before_us), end)
        gathered = done[-1].trades if done and is_divisible(done[-1]) else None
        if not isinstance(gathered, list):
            gathered = list[Trade]()
            done.append(Batch(gathered, 0, []))
        gathered.extend(trades[start:end])
        done[-1].rejects.extend(rejects if start == 0 else ())
        if end < len(trades):
            self._at = end
        else:
            self._held.pop()
            self._at = 0
        return end - start


def merged(files: Sequence[Iterator[list[Batch]]], until_us: int) -> Iterator[list[Batch]]:
    """Yield the batches of all files in the order of time. No trade happened after ``until_us``, the present."""
    sources: list[tuple[int, int, _Source]] = []
    for place, batches in enumerate(files):
        source = _Source(batches, until_us)
        if (due_us := source.due()) is not None:
            sources.append((due_us, place, source))
    heapq.heapify(sources)
    done: list[Batch] = []
    taken = 0
    while sources:
        _, place, source = sources[0]
        following = min(sources[1:3], default=None)
        # Trades of one moment go in the order of their files.
        before_us = None if following is None else following[0] + (place < following[1])
        taken += source.take(before_us, done)
        if taken >= _YIELDED_TRADES:
            yield done
            done, taken = [], 0
        if (due_us := source.due()) is None:
            heapq.heappop(sources)
        else:
            heapq.heapreplace(sources, (due_us, place, source))
    if done:
        yield done


def when(batch: Batch, at: int = 0) -> int:
    """Return when a batch is due, microseconds UTC: its receipt time, else its first trade's from ``at`` on; 0 if none.

    A snapshot without receipt time can begin hours before the recording.
    """
    if batch.received_us:
        return batch.received_us
    for trade in islice(batch.trades, at, None) if at else batch.trades:
        if not trade.is_snapshot:
            return trade.time_us
    return 0


def is_divisible(batch: Batch) -> bool:
    """Whether trades of a batch are due apart: not those of one message."""
    return not batch.received_us and bool(batch.trades) and not batch.trades[0].is_snapshot
