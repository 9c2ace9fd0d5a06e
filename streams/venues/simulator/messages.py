"""What Kraken sends, as text: the messages of both protocols, printed with the engine's precision."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from streams.model.trade import Kind, Side, Trade

_KINDS: Final = {
    Kind.FILL: "fill",
    Kind.LIQUIDATION: "liquidation",
    Kind.TERMINATION: "termination",
    Kind.BLOCK: "block",
}

SPOT_HEARTBEAT: Final = '{"channel":"heartbeat"}'
FUTURES_INFO: Final = '{"event":"info","version":1}'


def spot_row(trade: Trade) -> dict[str, Any]:
    """Return a trade as a row of the v2 channel ``trade``."""
    return {
        "symbol": trade.symbol,
        "side": _side(trade),
        "price": _plain(trade.price),
        "qty": _plain(trade.quantity),
        "ord_type": "market",
        "trade_id": trade.trade_id,
        "timestamp": rfc3339(trade.time_us),
    }


def spot_trades(trades: Iterable[Trade], *, is_snapshot: bool = False) -> str:
    """Return one v2 message that holds these trades."""
    kind = "snapshot" if is_snapshot else "update"
    return to_text({"channel": "trade", "type": kind, "data": [spot_row(trade) for trade in trades]})


def spot_status(system: str) -> str:
    """Return the v2 message that tells the exchange's state."""
    status = {"api_version": "v2", "connection_id": 1, "system": system, "version": "2.0.0"}
    return to_text({"channel": "status", "type": "update", "data": [status]})


def spot_ack(symbol: str, request: dict[str, Any], *, error: str = "") -> str:
    """Return the answer to one symbol of a v2 ``subscribe`` or ``unsubscribe``."""
    now = rfc3339(int(datetime.now(UTC).timestamp() * 1e6))
    answer: dict[str, Any] = {"method": request["method"], "success": not error, "time_in": now, "time_out": now}
    if error:
        answer |= {"error": error, "symbol": symbol}
    else:
        answer["result"] = {"channel": "trade", "snapshot": True, "symbol": symbol}
    if "req_id" in request:
        answer["req_id"] = request["req_id"]
    return to_text(answer)


def futures_row(trade: Trade, seq: int) -> dict[str, Any]:
    """Return a trade as a message of the v1 feed ``trade``, which is a snapshot's row too."""
    return {
        "feed": "trade",
        "product_id": trade.symbol,
        "uid": str(uuid.UUID(int=trade.trade_id)),
        "side": _side(trade),
        "type": trade.word or _KINDS[trade.kind],
        "seq": seq,
        "time": trade.time_us // 1000,
        "qty": _plain(trade.quantity),
        "price": _plain(trade.price),
    }


def futures_snapshot(product_id: str, rows: Iterable[dict[str, Any]]) -> str:
    """Return the v1 snapshot that holds these rows, which must come newest first."""
    return to_text({"feed": "trade_snapshot", "product_id": product_id, "trades": list(rows)})


def futures_event(event: str, **fields: object) -> str:
    """Return a v1 message such as ``subscribed``, ``error`` or ``alert``."""
    return to_text({"event": event, **fields})


def rfc3339(time_us: int) -> str:
    """Return a time as v2 prints it: UTC, microseconds."""
    seconds, micros = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def to_text(message: object) -> str:
    """Return the message as JSON."""
    return msgspec.json.encode(message).decode()


def _plain(number: Decimal) -> msgspec.Raw:
    """Return the number's own digits: no exponent, no binary fraction near it."""
    return msgspec.Raw(f"{number:f}".encode())


def _side(trade: Trade) -> str:
    return "sell" if trade.side is Side.SELL else "buy"
