"""Records that could not be used: why, where they came from, and their bytes, on the topic ``dead-letters``."""

from typing import Final

import msgspec

REASONS: Final = (
    "not_json",
    "not_a_frame",
    "missing_field",
    "wrong_type",
    "bad_price",
    "bad_quantity",
    "bad_side",
    "bad_time",
    "magnitude",
    "too_many_ids",
    "too_large",
    "future",
    "unknown_quote",
    "too_many_markets",
    "new_markets",
    "unlisted_market",
    "unknown_venue",
    "wrong_kind",
    "internal_error",
)

MAX_PAYLOAD_BYTES: Final = 256 * 1024
"""Bytes of a record that a letter keeps: with the rest, in base64, they stay below a broker's usual limit of 1 MB."""


def reason_label(reason: str) -> str:
    """Return a reason as a label of metrics. Words of a venue's own, however many, share ``internal_error``."""
    return reason if reason in REASONS else "internal_error"


class DeadLetter(msgspec.Struct, frozen=True):
    """One refused record. ``partition`` and ``offset`` are the source record's, -1 where a producer refused it."""

    reason: str
    detail: str
    payload: bytes
    origin: str
    venue: str = ""
    symbol: str = ""
    topic: str = ""
    partition: int = -1
    offset: int = -1
    refused_us: int = 0


def fitted(detail: str, payload: bytes) -> tuple[str, bytes]:
    """Return a detail and a payload that fit into a letter; what had to be cut is said in the detail."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return detail, payload
    return f"{detail} (first {MAX_PAYLOAD_BYTES} of {len(payload)} bytes kept)", payload[:MAX_PAYLOAD_BYTES]


def encode(letter: DeadLetter) -> bytes:
    """Return the letter as JSON (its payload in base64), readable by any tool."""
    return msgspec.json.encode(letter)


def decode(data: bytes) -> DeadLetter:
    """Read a letter back. Raises :class:`msgspec.DecodeError` on anything else."""
    return msgspec.json.decode(data, type=DeadLetter)
