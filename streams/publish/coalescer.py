"""Groups trades into frames: one venue, symbol and kind of market each, in order, cut by size and released by age.

Pure: the caller reads the time, in microseconds of any clock that never goes back.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec
import numpy as np

from streams.model.kinds import MarketKind
from streams.model.plain_trades import PlainTrades, joined
from streams.model.trade import Trade

# A frame has one receipt time, that of its first trade. A recording that is replayed fast brings messages of minutes at
# once. They get frames of their own where they were received further apart than this, so that latency and the bound on
# future times stay true.
MAX_RECEIPT_SPREAD_US: Final = 1_000_000
# Of what was received long ago, latency says nothing, and a record is stamped with the present (producer.py).
OLD_US: Final = 3_600_000_000
MAX_OLD_SPREAD_US: Final = 60_000_000

# Markets whose last trades are remembered: more than any venue has, and a few megabytes.
MAX_REMEMBERED: Final = 20_000

MarketKey = tuple[str, str, MarketKind]


class Group(msgspec.Struct):
    """Trades of one market for one frame.

    ``received_us`` is when the first of them arrived, microseconds UTC; ``due_us`` is when the group must go,
    by the caller's clock. Trades that came as columns are columns here too.
    """

    venue: str
    symbol: str
    kind: MarketKind
    trades: Sequence[Trade]
    received_us: int
    due_us: int


class _Open(msgspec.Struct):
    """A group that still grows: pieces of one type, ``count`` trades in all."""

    received_us: int
    due_us: int
    pieces: list[Sequence[Trade]]
    count: int = 0

    def takes(self, piece: Sequence[Trade], received_us: int, spread_us: int) -> bool:
        """Whether trades that were received then may come behind those that are here."""
        is_near = -spread_us <= received_us - self.received_us <= spread_us
        return is_near and (not self.pieces or _is_plain(self.pieces[0]) == _is_plain(piece))

    def trades(self) -> Sequence[Trade]:
        """Return all of them."""
        first = self.pieces[0]
        if len(self.pieces) == 1:
            return first
        if isinstance(first, PlainTrades):
            return joined([piece for piece in self.pieces if isinstance(piece, PlainTrades)])
        return [trade for piece in self.pieces for trade in piece]


def _market(trade: Trade) -> MarketKey:
    return trade.venue, trade.symbol, trade.product.kind


def _is_plain(trades: Sequence[Trade]) -> bool:
    return isinstance(trades, PlainTrades)


def _runs(arrived: Sequence[Trade]) -> Iterator[tuple[MarketKey, Sequence[Trade]]]:
    """Yield trades of one market each: as they came, or columns market by market."""
    if isinstance(arrived, PlainTrades):
        yield from arrived.by_market()
    else:
        for market, run in groupby(arrived, _market):
            yield market, list(run)


def _received(trades: Sequence[Trade], at: int, received_us: int) -> int:
    """Return when the trade at this place was received: all at the same time, unless their columns know better."""
    if isinstance(trades, PlainTrades) and trades.received_us is not None:
        return int(trades.received_us[at])
    return received_us


def _near(trades: Sequence[Trade], received_us: int, spread_us: int) -> int:
    """Return how many of these trades, from the first on, may share a frame with one that was received then."""
    if isinstance(trades, PlainTrades) and trades.received_us is not None:
        is_far = np.abs(trades.received_us - received_us) > spread_us
        return int(is_far.argmax()) if is_far.any() else len(trades)
    return len(trades)


class Coalescer:
    """Collects trades by market until a frame is full or has waited ``linger_us``.

    Waiting pays where more trades come meanwhile. So a frame waits for ``alone_us`` only, where none of its market had
    come for ``linger_us`` before it; without ``alone_us`` all wait alike. Groups of one market come out in the order
    in which its trades went in. ``waiting`` counts the trades held.
    """

    def __init__(self, max_trades: int, linger_us: int, alone_us: int | None = None) -> None:
        self._max_trades = max_trades
        self._linger_us = linger_us
        self._alone_us = linger_us if alone_us is None else min(alone_us, linger_us)
        # Each with a constant linger, so insertion order is also the order in which groups fall due.
        self._busy: dict[MarketKey, _Open] = {}
        self._alone: dict[MarketKey, _Open] = {}
        self._last_us: dict[MarketKey, int] = {}
        self.waiting = 0

    def add(self, arrived: Sequence[Trade], received_us: int, now_us: int) -> list[Group]:
        """Take trades in that were received at ``received_us``, microseconds UTC; return the groups they filled.

        For columns that know when each trade was received, it is the present.
        """
        done: list[Group] = []
        for market, trades in _runs(arrived):
            self.waiting += len(trades)
            group = self._busy.get(market) or self._alone.get(market)
            is_busy = now_us - self._last_us.get(market, -self._linger_us) < self._linger_us
            self._remember(market, now_us)
            start = 0
            while start < len(trades):
                first_us = _received(trades, start, received_us)
                is_old = first_us < received_us - OLD_US
                spread_us = MAX_OLD_SPREAD_US if is_old else MAX_RECEIPT_SPREAD_US
                if group is not None and not group.takes(trades, first_us, spread_us):
                    done.append(self._close(market))
                    group = None
                if group is None:
                    # What fills frames is of a busy market, whatever came before it.
                    is_busy = is_busy or start > 0
                    group = _Open(first_us, now_us + (self._linger_us if is_busy else self._alone_us), [])
                    (self._busy if is_busy else self._alone)[market] = group
                piece = trades[start : start + self._max_trades - group.count]
                piece = piece[: _near(piece, group.received_us, spread_us)]
                group.pieces.append(piece)
                group.count += len(piece)
                start += len(piece)
                if group.count == self._max_trades:
                    done.append(self._close(market))
                    group = None
        return done

    def due(self, now_us: int) -> list[Group]:
        """Return the groups that have waited long enough."""
        late = []
        for groups in (self._alone, self._busy):
            for market, group in groups.items():
                if group.due_us > now_us:
                    break
                late.append(market)
        return [self._close(market) for market in late]

    def next_due_us(self) -> int | None:
        """Return when the oldest open group falls due, None where none is open."""
        firsts = (next(iter(groups.values())) for groups in (self._alone, self._busy) if groups)
        return min((group.due_us for group in firsts), default=None)

    def flush(self) -> list[Group]:
        """Return every open group."""
        return [self._close(market) for market in [*self._alone, *self._busy]]

    def _close(self, market: MarketKey) -> Group:
        group = self._busy.pop(market, None) or self._alone.pop(market)
        self.waiting -= group.count
        return Group(*market, group.trades(), group.received_us, group.due_us)

    def _remember(self, market: MarketKey, now_us: int) -> None:
        if len(self._last_us) >= MAX_REMEMBERED and market not in self._last_us:
            self._last_us.clear()
        self._last_us[market] = now_us
