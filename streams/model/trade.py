"""Trades as feeds yield them, what could not become one, and the batches that both travel in."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from functools import lru_cache
from typing import Final

import msgspec

from streams.errors import BadRecord
from streams.model.kinds import MAX_NAME
from streams.model.products import Product

# The cheapest tokens trade above 1e-12. Between these two a change of price in percent is always a finite double.
MIN_PRICE: Final = Decimal("1e-18")
MAX_PRICE: Final = Decimal(10) ** 9
MAX_QUANTITY: Final = Decimal(10) ** 18

MIN_TIME_US: Final = 1_230_768_000_000_000  # 2009-01-01: no trade is older than Bitcoin
MAX_TIME_US: Final = 4_102_444_800_000_000  # 2100-01-01

# Ids of 8 bytes are signed where they are kept.
_ID_LIMITS: Final = {8: 1 << 63, 16: 1 << 128}


class Side(IntEnum):
    """The taker's side. Kraken's time-and-sales files do not say it: ``UNKNOWN``."""

    UNKNOWN = 0
    BUY = 1
    SELL = 2


# No word of a venue comes near; a longer one is cut.
MAX_WORD: Final = 32


class Kind(IntEnum):
    """What a trade is. Blocks and terminations are remembered by id but enter no window figure.

    A trade of any other kind is a block, and has the venue's word for it beside that.
    """

    FILL = 0
    LIQUIDATION = 1
    BLOCK = 2
    TERMINATION = 3


_LIQUIDATION: Final = Kind.LIQUIDATION


@lru_cache(maxsize=100_000)
def is_market_name(name: str) -> bool:
    """Whether a table's key and a database's column can hold this as a venue or a symbol."""
    return 1 <= len(name) <= MAX_NAME and "|" not in name and name.isprintable()


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One execution, as the venue published it.

    ``trade_id`` is the venue's integer id, or its 128-bit value, as wide as ``product`` says. ``quantity`` is in
    the product's own unit: base currency, or contracts. ``time_us`` is the event time in microseconds UTC.
    ``is_snapshot`` marks history that a venue sends on subscribing: it fills windows and never raises an alert by
    itself. ``word`` is the venue's word for a kind that is none of :class:`Kind`: the trade is then a block.

    A trade is checked where it is made, and nowhere after: raises :class:`BadRecord` for what no market does.
    """

    venue: str
    symbol: str
    trade_id: int
    side: Side
    kind: Kind
    price: Decimal
    quantity: Decimal
    time_us: int
    product: Product
    is_snapshot: bool = False
    word: str = ""

    def __post_init__(self) -> None:
        try:
            is_possible = bool(
                MIN_PRICE <= self.price <= MAX_PRICE
                and 0 < self.quantity <= MAX_QUANTITY
                and MIN_TIME_US <= self.time_us < MAX_TIME_US
                and 0 <= self.trade_id < _ID_LIMITS[self.product.kind.id_bytes]
                and is_market_name(self.venue)
                and is_market_name(self.symbol)
                and (self.side or self.kind != _LIQUIDATION)
            )
        except InvalidOperation:  # NaN has no order
            is_possible = False
        if not is_possible:
            raise self._refusal()

    def _refusal(self) -> BadRecord:  # noqa: PLR0911 - one return per finding reads best
        price, quantity = self.price, self.quantity
        if not price.is_finite() or price <= 0:
            return BadRecord("bad_price", f"price must be a positive number, not {price:.20}")
        if not quantity.is_finite() or quantity <= 0:
            return BadRecord("bad_quantity", f"quantity must be a positive number, not {quantity:.20}")
        if not MIN_PRICE <= price <= MAX_PRICE or quantity > MAX_QUANTITY:
            return BadRecord("magnitude", f"price {price:.6E} or quantity {quantity:.6E} is beyond any market")
        if not MIN_TIME_US <= self.time_us < MAX_TIME_US:
            return BadRecord("bad_time", f"time {str(self.time_us)[:40]} us is outside 2009 to 2100")
        if not (is_market_name(self.venue) and is_market_name(self.symbol)):
            text = f"venue and symbol must be 1 to {MAX_NAME} printable characters other than '|'"
            return BadRecord("wrong_type", text)
        if self.kind == _LIQUIDATION and not self.side:
            return BadRecord("bad_side", "a liquidation must say which side the taker was")
        bits = _ID_LIMITS[self.product.kind.id_bytes].bit_length() - 1
        return BadRecord("magnitude", f"trade id {str(self.trade_id)[:40]} is outside 0 to 2^{bits}")


class Reject(msgspec.Struct, frozen=True):
    """A record that could not become a trade: goes to the dead letters with its bytes.

    ``reason`` is one of :data:`streams.model.deadletters.REASONS` (a bounded metric label); ``detail`` says what was
    wrong in words; ``payload`` is the offending record as it arrived.
    """

    reason: str
    detail: str
    payload: bytes
    venue: str = ""
    symbol: str = ""


class Batch(msgspec.Struct, frozen=True):
    """What one socket message (or one chunk of a recording) held.

    ``received_us`` is when it arrived, microseconds UTC: the reference for event-to-row latency, and for
    refusing trades stamped in the future.
    """

    trades: Sequence[Trade]
    received_us: int
    rejects: list[Reject] = []
