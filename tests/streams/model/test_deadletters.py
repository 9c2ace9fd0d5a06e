"""Dead letters: readable, complete, of a bounded size, under reasons from a fixed list."""

import ast
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.deadletters import MAX_PAYLOAD_BYTES, REASONS, DeadLetter, decode, encode, fitted, reason_label

ROOT = Path(__file__).parents[3]
BROKERS_LIMIT_BYTES = 1_000_000


@given(payload=st.binary(max_size=500), detail=st.text(max_size=50), offset=st.integers(-1, 2**63 - 1))
def test_a_letter_reads_back(payload: bytes, detail: str, offset: int) -> None:
    """With its bytes as they came, whatever they are."""
    letter = DeadLetter("not_json", detail, payload, "worker", "v", "s", "trades", 3, offset, 17)
    assert decode(encode(letter)) == letter


def test_any_tool_can_read_one() -> None:
    """It is JSON, its payload in base64."""
    letter = msgspec.json.decode(encode(DeadLetter("bad_price", "price is NaN", b"\x00\xff", "producer")))
    assert letter["payload"] == "AP8="
    assert (letter["reason"], letter["partition"], letter["offset"]) == ("bad_price", -1, -1)


def test_anything_else_is_no_letter() -> None:
    """Reading one back says so."""
    for data in (b"", b"[]", b'{"reason": 1}'):
        with pytest.raises(msgspec.DecodeError):
            decode(data)


@given(extra=st.integers(-2, 3_000_000))
def test_a_letter_fits_into_a_message(extra: int) -> None:
    """A record too large for that is cut, and its letter says so: a broker that refused it would stop the worker."""
    payload = b"\xff" * (MAX_PAYLOAD_BYTES + extra)
    detail, kept = fitted("too long", payload)
    assert payload.startswith(kept)
    if extra <= 0:
        assert (detail, kept) == ("too long", payload)
    else:
        assert detail == f"too long (first {MAX_PAYLOAD_BYTES} of {len(payload)} bytes kept)"
    assert len(encode(DeadLetter("not_json", detail, kept, "worker"))) < BROKERS_LIMIT_BYTES


def reasons_given(tree: ast.AST) -> set[str]:
    """Return the constant reasons with which a module refuses records."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in {"BadRecord", "Reject", "reject"}
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_every_reason_is_in_the_list() -> None:
    """Reasons are label values of a metric: the list is all there may be."""
    given_anywhere: set[str] = set()
    for package in ("streams", "tables", "agents"):
        for file in (ROOT / package).rglob("*.py"):
            given_anywhere |= reasons_given(ast.parse(file.read_text()))
    assert {"bad_price", "not_a_frame", "wrong_type", "magnitude"} <= given_anywhere
    assert given_anywhere <= set(REASONS)


def test_a_reason_of_ones_own_makes_no_label_of_metrics() -> None:
    """A venue's code may say anything; labels are bounded."""
    assert [reason_label(reason) for reason in (*REASONS, "told by trade 4711")] == [
        *REASONS,
        "internal_error",
    ]
