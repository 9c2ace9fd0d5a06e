"""Why a row was refused: the reason, the field in words, and its bytes for the dead letters.

The decoder stops at the first wrong field and says little. A refused row is decoded again here, field by field.
"""

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec

from streams.errors import BadRecord
from streams.model.kinds import MAX_NAME
from streams.model.trade import Reject
from streams.venues.json_text import BAD_JSON, constant_of, mark_constants, unmark


def _lenient(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:
        return Decimal("Infinity")


_object = msgspec.json.Decoder(dict[str, Any], float_hook=_lenient)


def reject_of(error: BadRecord, row: bytes, venue: str) -> Reject:
    """Return the reject for a row that ``error`` refused, with the row's symbol where it can be read."""
    try:
        fields = _object.decode(row)
    except BAD_JSON:
        fields = {}
    symbol = fields.get("symbol") or fields.get("product_id")
    text = symbol[:MAX_NAME] if isinstance(symbol, str) else ""
    return Reject(error.reason, error.detail, unmark(row), venue, text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not constant_of(value)


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) is int or isinstance(value, Decimal) or bool(constant_of(value))


SPOT_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "symbol": _is_text,
    "side": _is_text,
    "price": _is_number,
    "qty": _is_number,
    "trade_id": _is_integer,
    "timestamp": _is_text,
}
FUTURES_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "uid": _is_text,
    "side": _is_text,
    "type": _is_text,
    "time": _is_integer,
    "qty": _is_number,
    "price": _is_number,
}


def explain(row: bytes, error: Exception, checks: dict[str, Callable[[Any], bool]]) -> BadRecord:
    """Say which field made the decoder refuse the row."""
    try:
        fields = _object.decode(row)
    except msgspec.ValidationError as invalid:
        return _of_invalid(invalid)
    except BAD_JSON as broken:
        marked = mark_constants(row)
        return BadRecord("not_json", str(broken)) if marked == row else explain(marked, error, checks)
    return _wrong_field(fields, checks) or _wrong_value(fields, error)


def _wrong_field(fields: dict[str, Any], checks: dict[str, Callable[[Any], bool]]) -> BadRecord | None:
    for name, is_right in checks.items():
        if name not in fields:
            return BadRecord("missing_field", f"{name} is missing")
        if not is_right(fields[name]):
            return BadRecord("wrong_type", f"{name} is {type(fields[name]).__name__}")
    return None


def _wrong_value(fields: dict[str, Any], error: Exception) -> BadRecord:
    for name, reason in (("price", "bad_price"), ("qty", "bad_quantity")):
        if constant := constant_of(fields[name]):
            return BadRecord(reason, f"{name} is {constant}")
    if "$.timestamp" in str(error):
        return BadRecord("bad_time", f"timestamp is {fields['timestamp'][:40]!r}")
    return _of_invalid(error)


def _of_invalid(error: Exception) -> BadRecord:
    if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):
        return BadRecord("wrong_type", str(error))
    return BadRecord("magnitude", "a number is out of all range")
