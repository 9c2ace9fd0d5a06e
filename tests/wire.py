"""The oracle's trades in the forms in which the program meets them: its own records, and Kraken's socket messages."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from streams.model.trade import Kind, Side, Trade
from tests.kraken import product_of
from tests.oracle import OracleTrade, id_number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_json = msgspec.json.Encoder(decimal_format="number")


def record(trade: OracleTrade) -> Trade:
    """Return the trade as the program's feeds yield it: one of a kind that it does not know is a block."""
    is_known = trade.kind.upper() in Kind.__members__
    return Trade(
        venue=trade.venue,
        symbol=trade.symbol,
        trade_id=id_number(trade.id),
        side=Side[trade.side.upper()],
        kind=Kind[trade.kind.upper()] if is_known else Kind.BLOCK,
        price=trade.price,
        quantity=trade.qty,
        time_us=trade.time_us,
        product=product_of(trade.symbol),
        is_snapshot=trade.is_snapshot,
        word="" if is_known else trade.kind,
    )


def records(trades: Iterable[OracleTrade]) -> list[Trade]:
    """Return the trades as the program's feeds yield them."""
    return [record(trade) for trade in trades]


def spot_row(trade: OracleTrade) -> dict[str, Any]:
    """Return one row of the spot channel ``trade``; prices and quantities are Decimals, for exact digits."""
    time = _EPOCH + timedelta(microseconds=trade.time_us)
    return {
        "symbol": trade.symbol,
        "side": trade.side,
        "price": trade.price,
        "qty": trade.qty,
        "ord_type": "market",
        "trade_id": trade.id,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def futures_row(trade: OracleTrade, seq: int = 1) -> dict[str, Any]:
    """Return one message of the futures feed ``trade``; prices and quantities are Decimals, for exact digits."""
    return {
        "feed": "trade",
        "product_id": trade.symbol,
        "uid": trade.id,
        "side": trade.side,
        "type": trade.kind,
        "seq": seq,
        "time": trade.time_us // 1000,
        "qty": trade.qty,
        "price": trade.price,
    }


def spot_message(trades: Iterable[OracleTrade], *, snapshot: bool = False) -> bytes:
    """Return one message of the spot socket that carries the trades."""
    kind = "snapshot" if snapshot else "update"
    return _json.encode({"channel": "trade", "type": kind, "data": [spot_row(trade) for trade in trades]})


def futures_message(trade: OracleTrade, seq: int = 1) -> bytes:
    """Return the message of the futures socket that carries the trade."""
    return _json.encode(futures_row(trade, seq))


def futures_snapshot_message(trades: list[OracleTrade]) -> bytes:
    """Return a futures snapshot of one product, newest first."""
    rows = [futures_row(trade, seq) for seq, trade in reversed(list(enumerate(trades, start=1)))]
    return _json.encode({"feed": "trade_snapshot", "product_id": trades[0].symbol, "trades": rows})
