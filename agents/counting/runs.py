"""A message's trades, cut into runs of one pane, and summed column by column where that is quick and exact."""

from array import array
from functools import cached_property
from typing import Any, Final

from agents.counting.column_runs import LEAST, Least, Run, summed
from streams.model.amounts import MAX_NOTIONAL_MICRO_USD, UNITS_PER_BASE, Amounts
from streams.model.frames import KIND_MASK, KIND_SHIFT, SIDE_MASK, Frame, flags_of
from streams.model.kinds import WIDE_ID_BYTES, MarketKind
from streams.model.trade import MAX_PRICE, MAX_TIME_US, MIN_PRICE, MIN_TIME_US, Kind, Side, Trade
from tables.market.identities import TradeId

Row = tuple[TradeId, int, float, int, int, int, int, int]
"""One trade: id, time_us, price, notional, rest, whole, fraction, flags."""

# The bounds that producers keep to, as doubles.
_MIN_PRICE: Final = float(MIN_PRICE)
_MAX_PRICE: Final = float(MAX_PRICE)
# An enum member costs three times a plain integer, once per trade.
_SELL: Final = int(Side.SELL)
_LIQUIDATION: Final = Kind.LIQUIDATION << KIND_SHIFT


class Trades:
    """What a message held: trades of one market, and what kind of market that is."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        market_kind: MarketKind,
        received_us: int,
        content: Frame | list[Row],
        words: list[str] | None = None,
        least: Least = LEAST,
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.market_kind = market_kind
        self.received_us = received_us
        self._content = content
        self._least = least
        self._words = content.words if isinstance(content, Frame) else words

    def __len__(self) -> int:
        return len(self._content)

    @property
    def is_end(self) -> bool:
        """Whether its market's recording has ended with this message."""
        return isinstance(self._content, Frame) and self._content.is_end

    @property
    def is_reset(self) -> bool:
        """Whether its market is to be turned back to the time of this message."""
        return isinstance(self._content, Frame) and self._content.is_reset

    def kind_name(self, at: int) -> str:
        """Return what kind of trade the one at this place is: the venue's word where the flags cannot hold it."""
        kind = Kind((self.rows[at][-1] & KIND_MASK) >> KIND_SHIFT)
        word = self._words[at] if self._words is not None and kind is Kind.BLOCK else ""
        return word or kind.name.lower()

    @cached_property
    def rows(self) -> list[Row]:
        """The trades in order of arrival."""
        return rows_of(self._content) if isinstance(self._content, Frame) else self._content

    def runs(self, pane_us: int, latest_us: int) -> list[Run]:
        """Return the runs. A trade later than ``latest_us`` leaves its frame to be counted row by row."""
        content = self._content
        if isinstance(content, Frame) and (runs := summed(content, pane_us, latest_us, self._least)) is not None:
            return runs
        runs = []
        start = 0
        number = -1
        for at, row in enumerate(self.rows):
            pane = row[1] // pane_us
            if pane != number:
                if at:
                    runs.append(Run(number, start, at))
                number, start = pane, at
        runs.append(Run(number, start, len(self.rows)))
        return runs


def rows_of(frame: Frame) -> list[Row]:
    """Return a frame's columns as rows."""
    ids: Any
    step = WIDE_ID_BYTES
    ids = [frame.ids[at : at + step] for at in range(0, len(frame.ids), step)] if frame.wide_ids else _ints(frame.ids)
    return list(
        zip(
            ids,
            _ints(frame.times_us),
            array("d", frame.prices),
            _ints(frame.notionals),
            array("i", frame.rests),
            _ints(frame.quantities),
            _ints(frame.fractions),
            frame.flags,
            strict=True,
        )
    )


def row_of(trade: Trade, amounts: Amounts) -> Row:
    """Return one trade as a frame would carry it."""
    whole, fraction = divmod(amounts.quantity_units, UNITS_PER_BASE)
    trade_id: TradeId = (
        trade.trade_id.to_bytes(WIDE_ID_BYTES, "big") if trade.product.kind.has_wide_ids else trade.trade_id
    )
    return (
        trade_id,
        trade.time_us,
        float(trade.price),
        amounts.notional_micro_usd,
        amounts.notional_rest,
        whole,
        fraction,
        flags_of(trade),
    )


def _ints(column: bytes) -> "array[int]":
    return array("q", column)


def refusal_of(row: Row, latest_us: int) -> tuple[str, str] | None:  # noqa: PLR0911 - one return a finding reads best
    """Return (reason, detail) where a row is no possible trade."""
    _, time_us, price, notional, _, whole, fraction, flags = row
    if not _MIN_PRICE <= price <= _MAX_PRICE:
        if not 0 < price < float("inf"):
            return "bad_price", f"price must be a positive number, not {price}"
        return "magnitude", f"a price of {price} is beyond any market"
    if whole < 0 or not 0 <= fraction < UNITS_PER_BASE or whole + fraction == 0:
        return "bad_quantity", f"quantity must be positive, not {whole} and {fraction}e-14"
    if not 0 <= notional <= MAX_NOTIONAL_MICRO_USD:
        return "magnitude", f"a notional of {notional} micro-USD in one trade is beyond any market"
    if not MIN_TIME_US <= time_us < MAX_TIME_US:
        return "bad_time", f"time {time_us} us is outside 2009 to 2100"
    if time_us > latest_us:
        return "future", f"stamped {(time_us - latest_us) / 1_000_000:.3f} s further ahead of its message than allowed"
    if flags & SIDE_MASK > _SELL:
        return "bad_side", f"flags {flags:#04x} name no side"
    if flags & (SIDE_MASK | KIND_MASK) == _LIQUIDATION:
        return "bad_side", "a liquidation must say which side the taker was"
    return None
