"""Several recordings as one, in the order of time, many trades in a step. No I/O.

The order is that of :mod:`~.merging`: a file is asked for its next trade when that is the oldest of all files' next
ones. So a trade that is older than one before it in its file follows that at once. So does a trade of the future. The
key of a trade is the latest time so far in its file, and trades go in the order of their keys.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np

from streams.model.decimals import Integers
from streams.model.plain_trades import PlainTrades, joined
from streams.model.trade import Batch, Reject, Trade

# A file with many trades must not make the others hold theirs for long: so many batches of it are held at once.
_MOST_HELD: Final = 4
# More than so many trades go out in several batches.
_MOST_TRADES: Final = 4000


class _Source:
    """One file's trades that were read and have not gone out."""

    def __init__(self, batches: Iterator[list[Batch]], until_us: int) -> None:
        self._batches = batches
        self._until_us = until_us
        self._latest_us = 0
        self.is_over = False
        self.parts: list[Sequence[Trade]] = []
        self.keys: Integers = np.zeros(0, np.int64)
        self.rejects: list[Reject] = []

    def read(self) -> None:
        """Take the next batches of the file in, of which none is that of one message."""
        held = next(self._batches, None)
        if held is None:
            self.is_over = True
            return
        for batch in held:
            self.rejects.extend(batch.rejects)
            if not batch.trades:
                continue
            times = _times_us(batch.trades)
            times = np.where(times <= self._until_us, times, 0)
            times[0] = max(times[0], self._latest_us)
            keys = np.maximum.accumulate(times)
            self._latest_us = int(keys[-1])
            self.parts.append(batch.trades)
            self.keys = np.concatenate((self.keys, keys))

    @property
    def last(self) -> int:
        """The key of the last trade that was read."""
        return self._latest_us

    def taken(self, count: int) -> list[Sequence[Trade]]:
        """Give out the first trades, in parts."""
        self.keys = self.keys[count:]
        taken = []
        while count:
            part = self.parts[0]
            taken.append(part[:count])
            self.parts[:1] = [part[count:]] if count < len(part) else []
            count -= len(taken[-1])
        return taken


def merged_columns(files: Sequence[Iterator[list[Batch]]], until_us: int) -> Iterator[list[Batch]]:
    """Yield the trades of all files in the order of time. No trade happened after ``until_us``, the present."""
    sources = [_Source(batches, until_us) for batches in files]
    while True:
        for source in sources:
            while not source.is_over and not len(source.keys):
                source.read()
        sources = [source for source in sources if not source.is_over or source.rejects or len(source.keys)]
        if not sources:
            return
        rejects = [refused for source in sources for refused in source.rejects]
        for source in sources:
            source.rejects = []
        yield from _batches(_next(sources), rejects)


def _next(sources: Sequence[_Source]) -> Sequence[Trade]:
    """Return the trades that no trade still to be read can come before: at least one, if any is held."""
    growing = [source for source in sources if not source.is_over]
    middle = sorted(source.last for source in growing)[len(growing) // 2] if growing else 0
    for source in growing:
        for _ in range(_MOST_HELD):
            if source.last >= middle or source.is_over:
                break
            source.read()
    growing = [source for source in sources if not source.is_over]
    if not growing:
        counts = [len(source.keys) for source in sources]
    else:
        # Of the file that was read least far, what follows has its last key or a later one. Equal keys go in the order
        # of the files: those of files before it may go, and its own.
        horizon, place = min((source.last, place) for place, source in enumerate(sources) if not source.is_over)
        counts = [
            int(np.searchsorted(source.keys, horizon, "right" if at <= place else "left"))
            for at, source in enumerate(sources)
        ]
    chosen = [(source, count) for source, count in zip(sources, counts, strict=True) if count]
    order = np.argsort(np.concatenate([source.keys[:count] for source, count in chosen]), kind="stable")
    trades = _together([part for source, count in chosen for part in source.taken(count)])
    if isinstance(trades, PlainTrades):
        return trades.taken(order)
    return [trades[at] for at in order.tolist()]


def _batches(trades: Sequence[Trade], rejects: list[Reject]) -> Iterator[list[Batch]]:
    yield [Batch(trades[:_MOST_TRADES], 0, rejects)]
    for start in range(_MOST_TRADES, len(trades), _MOST_TRADES):
        yield [Batch(trades[start : start + _MOST_TRADES], 0, [])]


def _times_us(trades: Sequence[Trade]) -> Integers:
    if isinstance(trades, PlainTrades):
        return trades.times_us.copy()
    return np.array([trade.time_us for trade in trades], np.int64)


def _together(parts: Sequence[Sequence[Trade]]) -> Sequence[Trade]:
    """Return all of them as one sequence, in columns where all are."""
    if len(parts) == 1:
        return parts[0]
    plain = [part for part in parts if isinstance(part, PlainTrades)]
    return joined(plain) if len(plain) == len(parts) else list(chain.from_iterable(parts))
