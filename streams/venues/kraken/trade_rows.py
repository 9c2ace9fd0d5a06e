"""One row of a Kraken feed as a :class:`~streams.model.trade.Trade`, without any I/O.

Rows are those of spot WebSocket v2 and of futures WebSocket v1. Rows of JSON on the topic look the same. Prices and
quantities are exact: decimals made from the text of the number.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from streams.errors import BadRecord
from streams.model.trade import MAX_WORD, Kind, Side, Trade
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON, constant_of, mark_constants
from streams.venues.kraken.refusals import FUTURES_CHECKS, SPOT_CHECKS, explain

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_KINDS: Final = {
    "fill": Kind.FILL,
    "liquidation": Kind.LIQUIDATION,
    "termination": Kind.TERMINATION,
    "block": Kind.BLOCK,
}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _SpotRow(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: Any
    qty: Any
    trade_id: int
    timestamp: datetime


class _FuturesRow(msgspec.Struct, gc=False):
    uid: str
    side: str
    type: str
    time: int
    qty: Any
    price: Any
    product_id: str = ""


_Row = TypeVar("_Row")

# Numbers are untyped in the rows, since a typed Decimal would accept a JSON string. Floats come as Decimal, integers as
# int.
_spot_row = msgspec.json.Decoder(_SpotRow, float_hook=Decimal)

_spot_rows = msgspec.json.Decoder(list[_SpotRow], float_hook=Decimal)

_futures_row = msgspec.json.Decoder(_FuturesRow, float_hook=Decimal)

_futures_rows = msgspec.json.Decoder(list[_FuturesRow], float_hook=Decimal)


def spot_row_to_trade(row: bytes, venue: Venue, *, is_snapshot: bool = False) -> Trade:
    """Return the trade that one spot v2 row (a JSON object) describes. Raises :class:`BadRecord`."""
    decoded = _decode(_spot_row, row, SPOT_CHECKS)
    return _spot_trade(decoded, venue, is_snapshot=is_snapshot)


def futures_row_to_trade(
    row: bytes,
    venue: Venue,
    *,
    product_id: str = "",
    is_snapshot: bool = False,
) -> Trade:
    """Return the trade that one futures v1 row describes. Raises :class:`BadRecord`.

    ``product_id`` is that of the surrounding snapshot, for a row that does not name its own.
    """
    decoded = _decode(_futures_row, row, FUTURES_CHECKS)
    return _futures_trade(decoded, venue, product_id, is_snapshot=is_snapshot)


def spot_rows_to_trades(array: bytes, venue: Venue, *, is_snapshot: bool = False) -> list[Trade]:
    """Return the trades of a JSON array of spot rows, in its order. Raises :class:`BadRecord` if any row is bad."""
    try:
        rows = _spot_rows.decode(array)
    except BAD_JSON as error:
        raise BadRecord("wrong_type", str(error)) from None
    return [_spot_trade(row, venue, is_snapshot=is_snapshot) for row in rows]


def futures_rows_to_trades(array: bytes, venue: Venue, *, product_id: str, is_snapshot: bool = False) -> list[Trade]:
    """Return the trades of a JSON array of futures rows, in its order. Raises :class:`BadRecord` if any row is bad."""
    try:
        rows = _futures_rows.decode(array)
    except BAD_JSON as error:
        raise BadRecord("wrong_type", str(error)) from None
    return [_futures_trade(row, venue, product_id, is_snapshot=is_snapshot) for row in rows]


def uid_to_id(uid: str) -> int:
    """Return the 128-bit trade id of a futures ``uid``: the UUID's value, or a hash of text that is no UUID."""
    try:
        return uuid.UUID(uid).int
    except ValueError:
        return int.from_bytes(blake2b(uid.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _decode(decoder: msgspec.json.Decoder[_Row], row: bytes, checks: dict[str, Callable[[Any], bool]]) -> _Row:
    try:
        return decoder.decode(row)
    except BAD_JSON as error:
        marked = row if isinstance(error, msgspec.ValidationError) else mark_constants(row)
        if marked == row:
            raise explain(row, error, checks) from None
    return _decode(decoder, marked, checks)


def _spot_trade(row: _SpotRow, venue: Venue, *, is_snapshot: bool) -> Trade:
    side = _SIDES.get(row.side)
    if side is None:
        raise BadRecord("bad_side", f"side is {row.side[:32]!r}")
    product = venue.product_of(row.symbol)
    if row.timestamp.tzinfo is None:
        raise BadRecord("bad_time", f"timestamp is {row.timestamp.isoformat()}, of no time zone")
    time_us = (row.timestamp - _EPOCH) // _MICROSECOND
    price = _number(row.price, "price", "bad_price")
    quantity = _number(row.qty, "qty", "bad_quantity")
    return Trade(venue.name, row.symbol, row.trade_id, side, Kind.FILL, price, quantity, time_us, product, is_snapshot)


def _futures_trade(row: _FuturesRow, venue: Venue, product_id: str, *, is_snapshot: bool) -> Trade:
    symbol = row.product_id or product_id
    side = _SIDES.get(row.side)
    kind = _KINDS.get(row.type)
    if side is None:
        raise BadRecord("bad_side", f"side is {row.side[:32]!r}")
    if not row.type:
        raise BadRecord("missing_field", "type is empty")
    if not symbol:
        raise BadRecord("missing_field", "product_id is missing")
    if not row.uid:
        raise BadRecord("missing_field", "uid is empty")
    product = venue.product_of(symbol)
    price = _number(row.price, "price", "bad_price")
    quantity = _number(row.qty, "qty", "bad_quantity")
    trade_id = uid_to_id(row.uid)
    time_us = row.time * 1000
    if kind is None:
        # An assignment and the like are no execution on the book, and nor is what Kraken may add, as far as is known.
        word = kind_word(row.type)
        return Trade(
            venue.name, symbol, trade_id, side, Kind.BLOCK, price, quantity, time_us, product, is_snapshot, word
        )
    return Trade(venue.name, symbol, trade_id, side, kind, price, quantity, time_us, product, is_snapshot)


def kind_word(text: str) -> str:
    """Return the venue's word for a kind, in characters that a log and a terminal can show."""
    return (text if text.isprintable() else ascii(text)[1:-1])[:MAX_WORD]


def _number(value: Any, name: str, reason: str) -> Decimal:
    """Return the number as it was written. What a price may be, :class:`Trade` says."""
    if type(value) is Decimal:
        return value
    if type(value) is int:
        return Decimal(value)
    if constant := constant_of(value):
        raise BadRecord(reason, f"{name} is {constant}")
    raise BadRecord("wrong_type", f"{name} is {type(value).__name__}, not a number")
