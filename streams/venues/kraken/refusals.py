"""Why a row was refused: the reason, the field in words, and its bytes for the dead letters.

The decoder stops at the first thing it dislikes; this looks again, slowly, at what it refused.
"""

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec

from streams.errors import BadRecord
from streams.model.trade import Reject

MAX_SYMBOL: Final = 64

# Everything that decoding hostile text can raise.
BAD_JSON: Final = (msgspec.DecodeError, DecimalException, UnicodeDecodeError, RecursionError, ValueError)

# JSON has no NaN or Infinity but several languages print them: marked as this string, they spoil their row only.
_MARK: Final = "\x00constant "
_MARK_JSON: Final = rb'"\u0000constant '
# Possessive, so that no text makes it look twice at a character.
_STRING_OR_CONSTANT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_MARKED: Final = re.compile(re.escape(_MARK_JSON) + rb'([^"]*)"')


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
    text = symbol[:MAX_SYMBOL] if isinstance(symbol, str) else ""
    return Reject(error.reason, error.detail, unmark(row), venue, text)


def mark_constants(data: bytes) -> bytes:
    """Return the text with each bare NaN and Infinity turned into a string that the rows recognise."""

    def replace(found: re.Match[bytes]) -> bytes:
        text = found.group()
        return text if text.startswith(b'"') else _MARK_JSON + text + b'"'

    return _STRING_OR_CONSTANT.sub(replace, data)


def unmark(data: bytes) -> bytes:
    """Return the text as it was before :func:`mark_constants`."""
    return _MARKED.sub(rb"\1", data)


def constant_of(value: Any) -> str:
    """Return which constant was marked here (``NaN``, ``-Infinity``); empty for any other value."""
    return value.removeprefix(_MARK) if isinstance(value, str) and value.startswith(_MARK) else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(_MARK)


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
