"""The records that flow between processes: trades as sources yield them, and alert rows as the monitor emits them.

Plain msgspec structs: no I/O, no arithmetic.
"""

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

    ``reason`` is one of :data:`streams.deadletters.REASONS` (a bounded metric label); ``detail`` says what was
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


class Alert(msgspec.Struct, frozen=True, omit_defaults=False):
    """An alert's row at its present state: one message on the topic ``alerts``, one row in ``liquidation_alerts``.

    Identity is (``rule``, ``venue``, ``symbol``, ``pane``); everything else is a column that may be brought up
    to date. A row with a higher ``count`` supersedes one with a lower: windows only ever gain trades.
    Amounts ending in ``_micro_usd`` are integers in micro-USD. ``pane`` is the start of the crossing pane in
    unix seconds; the window covers ``window_start`` (inclusive) to ``window_end`` (exclusive), unix seconds.
    """

    rule: str
    venue: str
    symbol: str
    pane: int
    severity: str
    threshold_micro_usd: int
    episode: int
    window_seconds: int
    window_start: int
    window_end: int
    count: int
    total_volume_micro_usd: int
    buy_volume_micro_usd: int
    sell_volume_micro_usd: int
    liquidation_volume_micro_usd: int
    liquidation_long_micro_usd: int
    liquidation_short_micro_usd: int
    largest_trade_micro_usd: int
    vwap: float
    price_change_pct: float
    realized_volatility: float
    first_price: float
    last_price: float
    high: float
    low: float
    received_us: int
    partition: int
    offset: int
