"""What Kraken answers to subscriptions, on both sockets, without any I/O.

Only the texts below say that a symbol does not exist. Anything else may pass: "Exceeded msg rate", "Service
unavailable", or what Kraken has not said yet.
"""

import re
from typing import Final

import msgspec

from streams.venues.json_text import BAD_JSON
from streams.venues.parsed import Ack, Parsed

# "Currency pair not supported X/USD", "Currency pair not in ISO 4217-A3 format X", "Invalid product id".
_DEFINITE: Final = re.compile(
    r"(pair|symbol|product|instrument)\b.*\b(not supported|not in ISO 4217|not found|unknown|invalid|does not exist)"
    r"|(unknown|invalid|unsupported) (\w+ )?(pair|symbol|product|instrument)",
    re.IGNORECASE,
)
# What a busy venue, or one that is away, says to any request.
_BUSY: Final = re.compile(r"msg rate|rate limit|too many requests|throttl|unavailable|busy|maintenance", re.IGNORECASE)
# Errors of v1 that are about no product: "Invalid feed" may mean the heartbeat, "Json Error" means a request.
_OF_NO_PRODUCT: Final = re.compile(r"\b(feed|json)\b", re.IGNORECASE)
# "Couldn't subscribe to invalid product `PF_XBTUSD`", also without the marks.
_PRODUCT: Final = re.compile(r"`([^`]+)`|\b([A-Z]{2}_[A-Z0-9]+(?:_\d+)?)\b")
# An answer with more of them is not to be read to its end.
_MAX_WARNINGS: Final = 10


class SpotAnswer(msgspec.Struct):
    """The fields of a v2 answer."""

    method: str = ""
    success: bool = False
    error: str = ""
    result: msgspec.Raw = msgspec.Raw()
    symbol: str = ""


class FuturesEvent(msgspec.Struct):
    """The fields of a v1 event."""

    event: str = ""
    feed: str = ""
    product_ids: list[str] = []
    message: str | None = None


class _SpotResult(msgspec.Struct):
    symbol: str = ""
    warnings: msgspec.Raw = msgspec.Raw()


_spot_result = msgspec.json.Decoder(_SpotResult)

_texts = msgspec.json.Decoder(list[str] | str | None)


def read_spot_answer(answer: SpotAnswer) -> Parsed:
    """Return what a v2 answer, or an error that answers nothing, holds. Never raises."""
    try:
        result = _spot_result.decode(answer.result) if answer.result else _SpotResult()
    except BAD_JSON:
        result = _SpotResult()
    warnings = _warnings(result.warnings)
    symbol = result.symbol or answer.symbol
    if answer.method == "subscribe":
        return Parsed(acks=[_ack(symbol, answer.error, accepted=answer.success)], warnings=warnings)
    # Kraken also leaves out the method. A busy venue takes no subscription either, whatever it was asked.
    if answer.error and (not answer.method or _BUSY.search(answer.error)):
        return Parsed(acks=[_ack(symbol, answer.error, accepted=False)], warnings=warnings)
    return Parsed(notice=answer.error, warnings=warnings)


def read_futures_event(event: FuturesEvent) -> Parsed:
    """Return what a v1 event holds. Never raises.

    An error is an answer unless it speaks of a feed. An alert is one only where it speaks of a product.
    """
    message = event.message or ""
    if event.event == "subscribed" and event.feed == "trade":
        return Parsed(acks=[Ack(product, accepted=True) for product in event.product_ids])
    if event.event == "subscribed_failed" and event.feed in ("", "trade"):
        error = message or "subscription refused"
        return Parsed(acks=[_ack(product, error, accepted=False) for product in event.product_ids or [""]])
    if _is_answer(event.event, message):
        named = _PRODUCT.search(message)
        return Parsed(acks=[_ack((named[1] or named[2]) if named else "", message, accepted=False)])
    return Parsed(notice=message if event.event in ("alert", "error", "subscribed_failed") else "")


def _is_answer(event: str, message: str) -> bool:
    if event not in ("alert", "error"):
        return False
    if _DEFINITE.search(message) or _is_subscribed(message):
        return True
    return event == "error" and not _OF_NO_PRODUCT.search(message)


def _is_subscribed(error: str) -> bool:
    return "already subscribed" in error.lower()


def _ack(symbol: str, error: str, *, accepted: bool) -> Ack:
    """Return an answer. A symbol that is subscribed already is wanted so, though Kraken calls it an error."""
    accepted = accepted or _is_subscribed(error)
    return Ack(symbol, accepted, error, is_definite=not accepted and _DEFINITE.search(error) is not None)


def _warnings(raw: msgspec.Raw) -> list[str]:
    try:
        found = _texts.decode(raw) if raw else None
    except BAD_JSON:
        # Whatever form they have, they are repeated as they came.
        return [bytes(raw).decode(errors="replace")]
    return [found] if isinstance(found, str) else (found or [])[:_MAX_WARNINGS]
