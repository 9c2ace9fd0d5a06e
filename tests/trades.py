"""Trades for tests of the core, any field replaced, and the frames that carry them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from agents.counting.column_runs import LEAST, Least
from agents.counting.runs import Trades
from streams.model.frames import decode_frame, encode_frame
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.venues.json_rows import RowReader
from streams.venues.registry import make_venues
from tests.kraken import product_of

NOON = 1_700_000_000
"""The unix second that tests count from."""

BTC = "BTC/USD"
PERPETUAL = "PF_XBTUSD"
INVERSE = "PI_XBTUSD"


def spot(number: int = 1, second: float = 0, **changes: Any) -> Trade:
    """Return a spot trade of 100 USD, ``second`` after noon."""
    fields: dict[str, Any] = {
        "venue": "kraken_spot", "symbol": BTC, "product": product_of(changes.get("symbol", BTC)),
        "trade_id": number, "side": Side.BUY, "kind": Kind.FILL,
        "price": Decimal(100), "quantity": Decimal(1), "time_us": round((NOON + second) * 1_000_000),
    }  # fmt: skip
    return Trade(**fields | changes)


def future(number: int = 1, second: float = 0, **changes: Any) -> Trade:
    """Return a futures trade of 100 USD, ``second`` after noon."""
    return spot(number, second, **{"venue": "kraken_futures", "symbol": PERPETUAL} | changes)


def worth(usd: float, number: int = 1, second: float = 0, **changes: Any) -> Trade:
    """Return a spot trade of so many USD."""
    return spot(number, second, quantity=Decimal(str(usd)) / 100, **changes)


def row_reader() -> RowReader:
    """Return what reads rows of JSON, as the settings' defaults make it."""
    return RowReader(make_venues(load_settings()))


def frame_of(trades: Sequence[Trade], received_us: int = 0) -> bytes:
    """Return the frame of these trades."""
    return encode_frame(trades[0].venue, trades[0].symbol, trades, received_us)


def message_of(trades: Sequence[Trade], received_us: int = 0, least: Least = LEAST) -> Trades:
    """Return the trades as the monitor decodes their frame."""
    frame = decode_frame(frame_of(trades, received_us))
    return Trades(frame.venue, frame.symbol, frame.kind, frame.received_us, frame, least=least)
