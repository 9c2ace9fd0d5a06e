"""The pane: one symbol's trades of one second, reduced to what windows need, and the ids it has counted."""

from copy import copy
from typing import Final

import msgspec

from streams.model.amounts import UNITS_PER_BASE
from streams.model.trade import Side
from tables.market.identities import TradeId

PANE_SECONDS: Final = 1
"""Width of a pane. A pane's number is its second of unix time; frames, state and rows all count on that."""

PANE_US: Final = PANE_SECONDS * 1_000_000

# Sums stay below this, so that a stored value always fits 64 bits. A trade that would pass it is refused.
SUM_LIMIT: Final = 2**62

# An enum member costs three times a plain integer, once a trade.
_BUY: Final = int(Side.BUY)
_SELL: Final = int(Side.SELL)


class Pane(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """Sums over the trades counted; integers add up exactly, in any order.

    Amounts are in micro-USD; ``rest`` is what rounding notionals left, in 1e-15 USD. Base quantity is ``whole``
    plus ``fraction`` x 1e-14. ``first`` and ``last`` are by (time, id). Liquidated longs are taker sells, shorts
    taker buys. ``count`` is 0 in a pane that holds only blocks or terminations, whose ids alone are kept.
    A stored pane with more fields cannot be read: a later release added them, and they would be lost.
    """

    ids: list[TradeId]
    count: int = 0
    notional: int = 0
    rest: int = 0
    whole: int = 0
    fraction: int = 0
    buy: int = 0
    sell: int = 0
    long_liquidated: int = 0
    short_liquidated: int = 0
    largest: int = 0
    high: float = 0.0
    low: float = 0.0
    first_us: int = 0
    first_id: TradeId = 0
    first_price: float = 0.0
    last_us: int = 0
    last_id: TradeId = 0
    last_price: float = 0.0

    @property
    def liquidated(self) -> int:
        """Notional of liquidations, both sides, micro-USD."""
        return self.long_liquidated + self.short_liquidated

    def has_room(self, notional: int, whole: int) -> bool:
        """Whether a trade of this size can be added without passing 64 bits."""
        return self.notional + notional < SUM_LIMIT and self.whole + whole < SUM_LIMIT

    def add_trade(
        self,
        trade_id: TradeId,
        time_us: int,
        price: float,
        notional: int,
        rest: int,
        whole: int,
        fraction: int,
        side: int,
        is_liquidation: bool,  # noqa: FBT001 - called once a trade, where keywords cost a tenth of the whole
    ) -> None:
        """Add one trade whose id is new; its id goes into ``ids`` separately."""
        if not self.count:
            self.high = self.low = self.first_price = self.last_price = price
            self.first_us = self.last_us = time_us
            self.first_id = self.last_id = trade_id
        else:
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            if time_us > self.last_us or (time_us == self.last_us and trade_id > self.last_id):  # type: ignore[operator]
                self.last_us, self.last_id, self.last_price = time_us, trade_id, price
            elif time_us < self.first_us or (time_us == self.first_us and trade_id < self.first_id):  # type: ignore[operator]
                self.first_us, self.first_id, self.first_price = time_us, trade_id, price
        self.count += 1
        self.notional += notional
        self.rest += rest
        self.whole += whole
        self.fraction += fraction
        if self.fraction >= UNITS_PER_BASE:
            self.whole += 1
            self.fraction -= UNITS_PER_BASE
        self.largest = max(self.largest, notional)
        if side == _BUY:
            self.buy += notional
            if is_liquidation:
                self.short_liquidated += notional
        elif side == _SELL:
            self.sell += notional
            if is_liquidation:
                self.long_liquidated += notional

    def add_figures(self, other: "Pane") -> None:
        """Add another pane's figures (not its ids). The two must have counted different trades."""
        if not other.count:
            return
        if not self.count:
            self.high, self.low = other.high, other.low
            self.first_us, self.first_id, self.first_price = other.first_us, other.first_id, other.first_price
            self.last_us, self.last_id, self.last_price = other.last_us, other.last_id, other.last_price
        else:
            self.high = max(self.high, other.high)
            self.low = min(self.low, other.low)
            if (other.first_us, other.first_id) < (self.first_us, self.first_id):
                self.first_us, self.first_id, self.first_price = other.first_us, other.first_id, other.first_price
            if (other.last_us, other.last_id) > (self.last_us, self.last_id):
                self.last_us, self.last_id, self.last_price = other.last_us, other.last_id, other.last_price
        self.count += other.count
        self.notional += other.notional
        self.rest += other.rest
        carried, self.fraction = divmod(self.fraction + other.fraction, UNITS_PER_BASE)
        self.whole += other.whole + carried
        self.buy += other.buy
        self.sell += other.sell
        self.long_liquidated += other.long_liquidated
        self.short_liquidated += other.short_liquidated
        self.largest = max(self.largest, other.largest)


def copy_of(pane: Pane | None) -> Pane | None:
    """Return a pane to go back to, with ids of its own; None for no pane."""
    if pane is None:
        return None
    kept = copy(pane)
    kept.ids = [*pane.ids]
    return kept
