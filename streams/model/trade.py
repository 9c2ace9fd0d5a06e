"""Trades as feeds yield them, what could not become one, and the batches that both travel in."""

from decimal import Decimal
from enum import IntEnum
from typing import Final

import msgspec

SPOT: Final = "kraken_spot"
FUTURES: Final = "kraken_futures"


class Side(IntEnum):
    """The taker's side. Kraken's time-and-sales files do not say it: ``UNKNOWN``."""

    UNKNOWN = 0
    BUY = 1
    SELL = 2


class Kind(IntEnum):
    """What a trade is. Blocks and terminations are remembered by id but enter no window figure."""

    FILL = 0
    LIQUIDATION = 1
    BLOCK = 2
    TERMINATION = 3


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One execution, as the venue published it.

    ``trade_id`` is the venue's integer id, or the 128-bit value of the futures feed's ``uid``.
    ``quantity`` is in the product's own unit: base currency, or contracts of 1 USD for inverse futures.
    ``time_us`` is the event time in microseconds UTC. ``is_snapshot`` marks history that a venue sends on
    subscribing: it fills windows and never raises an alert by itself.
    """

    venue: str
    symbol: str
    trade_id: int
    side: Side
    kind: Kind
    price: Decimal
    quantity: Decimal
    time_us: int
    is_snapshot: bool = False


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

    trades: list[Trade]
    received_us: int
    rejects: list[Reject] = []
