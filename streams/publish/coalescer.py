"""Groups trades into frames: one venue, symbol and kind of market each, in order, cut by size and released by age.

Pure: the caller reads the time, in microseconds of any clock that never goes back.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec

from streams.model.kinds import MarketKind
from streams.model.trade import Trade

# A frame has one receipt time, that of its first trade. A recording that is replayed fast brings messages of minutes at
# once. They get frames of their own where they were received further apart than this, so that latency and the bound on
# future times stay true.
MAX_RECEIPT_SPREAD_US: Final = 1_000_000


# Markets whose last trades are remembered: more than any venue has, and a few megabytes.
MAX_REMEMBERED: Final = 20_000

MarketKey = tuple[str, str, MarketKind]


class Group(msgspec.Struct):
    """Trades of one market for one frame.

    ``received_us`` is when the first of them arrived, microseconds UTC; ``due_us`` is when the group must go,
    by the caller's clock.
    """

    venue: str
    symbol: str
    kind: MarketKind
    trades: list[Trade]
    received_us: int
    due_us: int


def _market(trade: Trade) -> MarketKey:
    return trade.venue, trade.symbol, trade.product.kind


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
        self._busy: dict[MarketKey, Group] = {}
        self._alone: dict[MarketKey, Group] = {}
        self._last_us: dict[MarketKey, int] = {}
        self.waiting = 0

    def add(self, arrived: Iterable[Trade], received_us: int, now_us: int) -> list[Group]:
        """Take trades in that were received at ``received_us``, microseconds UTC; return the groups they filled."""
        done: list[Group] = []
        for market, run in groupby(arrived, _market):
            trades = list(run)
            self.waiting += len(trades)
            group = self._busy.get(market) or self._alone.get(market)
            is_busy = now_us - self._last_us.get(market, -self._linger_us) < self._linger_us
            self._remember(market, now_us)
            if group and not -MAX_RECEIPT_SPREAD_US <= received_us - group.received_us <= MAX_RECEIPT_SPREAD_US:
                done.append(self._close(market))
                group = None
            start = 0
            while start < len(trades):
                if group is None:
                    # What fills frames is of a busy market, whatever came before it.
                    is_busy = is_busy or start > 0
                    group = Group(*market, [], received_us, now_us + (self._linger_us if is_busy else self._alone_us))
                    (self._busy if is_busy else self._alone)[market] = group
                end = start + self._max_trades - len(group.trades)
                group.trades += trades[start:end]
                start = end
                if len(group.trades) == self._max_trades:
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
        self.waiting -= len(group.trades)
        return group

    def _remember(self, market: MarketKey, now_us: int) -> None:
        if len(self._last_us) >= MAX_REMEMBERED and market not in self._last_us:
            self._last_us.clear()
        self._last_us[market] = now_us
