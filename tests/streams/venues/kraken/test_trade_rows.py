"""One row becomes one trade, exactly, or is refused with the right reason."""

import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadRecord
from streams.model.deadletters import REASONS
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.venues.kraken.parsing import parse_spot_message
from streams.venues.kraken.products import INVERSE_FUTURES, SPOT_PRODUCT
from streams.venues.kraken.trade_rows import futures_row_to_trade, spot_row_to_trade, uid_to_id
from streams.venues.kraken.venue import KrakenSpot
from tests.kraken import FUTURES, KRAKEN_FUTURES, KRAKEN_SPOT, SPOT

SPOT_ROW = (
    '{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":0.00027625,"ord_type":"limit",'
    '"trade_id":10218208,"timestamp":"2023-10-06T17:35:55.440295Z"}'
)
FUTURES_ROW = (
    '{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
    '"type":"liquidation","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}'
)


def reason_of(call: Callable[[], Trade]) -> str:
    """Return the reason why the call refuses its row."""
    with pytest.raises(BadRecord) as refused:
        call()
    assert refused.value.reason in REASONS
    return refused.value.reason


def test_spot_row_becomes_a_trade() -> None:
    """Every field arrives, the price with its digits and the time with its microseconds."""
    assert spot_row_to_trade(SPOT_ROW.encode(), KRAKEN_SPOT) == Trade(
        venue=SPOT,
        symbol="BTC/USD",
        trade_id=10218208,
        side=Side.BUY,
        kind=Kind.FILL,
        price=Decimal("105944.20"),
        quantity=Decimal("0.00027625"),
        time_us=1_696_613_755_440_295,
        product=SPOT_PRODUCT,
    )


def test_futures_row_becomes_a_trade() -> None:
    """The type gives the kind, the uid the identity; seq is not looked at."""
    trade = futures_row_to_trade(FUTURES_ROW.encode(), KRAKEN_FUTURES)
    assert trade == Trade(
        venue=FUTURES,
        symbol="PI_XBTUSD",
        trade_id=uuid.UUID("05af78ac-a774-478c-a50c-8b9c234e071e").int,
        side=Side.SELL,
        kind=Kind.LIQUIDATION,
        price=Decimal("34969.5"),
        quantity=Decimal(15000),
        time_us=1_612_266_317_519_000,
        product=INVERSE_FUTURES,
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("fill", Kind.FILL), ("liquidation", Kind.LIQUIDATION), ("termination", Kind.TERMINATION), ("block", Kind.BLOCK)],
)
def test_every_documented_type_has_its_kind(name: str, kind: Kind) -> None:
    """All four types of the futures feed are told apart."""
    assert futures_row_to_trade(FUTURES_ROW.replace("liquidation", name).encode(), KRAKEN_FUTURES).kind is kind


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("assignment", "assignment"),
        ("unwind", "unwind"),
        ("covered_liquidation", "covered_liquidation"),
        ("Fill", "Fill"),
        ("something new", "something new"),
        ("x" * 99, "x" * 32),
        (r"a\u0007\u202e", r"a\x07\u202e"),
    ],
)
def test_a_type_of_another_kind_is_a_block_under_the_venues_word(written: str, word: str) -> None:
    """It is kept, in no window; the word is one that a log and a frame can hold."""
    trade = futures_row_to_trade(FUTURES_ROW.replace("liquidation", written).encode(), KRAKEN_FUTURES)
    assert (trade.kind, trade.word) == (Kind.BLOCK, word)


def test_the_takers_side_is_kept() -> None:
    """A liquidated long sells: the taker's side is not turned round."""
    assert futures_row_to_trade(FUTURES_ROW.encode(), KRAKEN_FUTURES).side is Side.SELL
    assert futures_row_to_trade(FUTURES_ROW.replace('"sell"', '"buy"').encode(), KRAKEN_FUTURES).side is Side.BUY
    assert spot_row_to_trade(SPOT_ROW.replace('"buy"', '"sell"').encode(), KRAKEN_SPOT).side is Side.SELL


SPOT_REFUSALS = [
    ("105944.20", '"105944.20"', "wrong_type"),
    ("105944.20", "true", "wrong_type"),
    ("105944.20", "null", "wrong_type"),
    ("105944.20", "[1]", "wrong_type"),
    ("105944.20", "0", "bad_price"),
    ("105944.20", "0.0", "bad_price"),
    ("105944.20", "-1.5", "bad_price"),
    ("105944.20", "NaN", "bad_price"),
    ("105944.20", "Infinity", "bad_price"),
    ("105944.20", "-Infinity", "bad_price"),
    ("105944.20", "1e400", "magnitude"),
    ("105944.20", "1e-400", "magnitude"),
    ("105944.20", "1e99999999999999999999", "magnitude"),
    ("105944.20", "9" * 5000, "magnitude"),
    ("0.00027625", "0", "bad_quantity"),
    ("0.00027625", "-2", "bad_quantity"),
    ("0.00027625", "NaN", "bad_quantity"),
    ("0.00027625", '"0.1"', "wrong_type"),
    ('"price":105944.20,', "", "missing_field"),
    ('"trade_id":10218208,', "", "missing_field"),
    ('"symbol":"BTC/USD",', "", "missing_field"),
    ("10218208", '"10218208"', "wrong_type"),
    ("10218208", "1.5", "wrong_type"),
    ("10218208", "-1", "magnitude"),
    ("10218208", "9223372036854775808", "magnitude"),
    ('"buy"', '"b"', "bad_side"),
    ('"buy"', '""', "bad_side"),
    ('"buy"', "1", "wrong_type"),
    ("2023-10-06T17:35:55.440295Z", "yesterday", "bad_time"),
    ("2023-10-06T17:35:55.440295Z", "2023-10-06T17:35:55.440295", "bad_time"),
    ("2023-10-06T17:35:55.440295Z", "1969-12-31T23:59:59Z", "bad_time"),
    ('"2023-10-06T17:35:55.440295Z"', "1696613755", "wrong_type"),
    ("BTC/USD", "BTC/EUR", "unknown_quote"),
    ("BTC/USD", "BTCUSD", "unknown_quote"),
    ("BTC/USD", "/USD", "unknown_quote"),
    ('"BTC/USD"', "7", "wrong_type"),
]


@pytest.mark.parametrize(("old", "new", "reason"), SPOT_REFUSALS)
def test_a_bad_spot_row_is_refused_with_its_reason(old: str, new: str, reason: str) -> None:
    """Nothing malformed becomes a trade, and the dead letter says why."""
    row = SPOT_ROW.replace(old, new, 1).encode()
    assert reason_of(lambda: spot_row_to_trade(row, KRAKEN_SPOT)) == reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1612266317519", "0", "bad_time"),
        ("1612266317519", "-5", "bad_time"),
        ("1612266317519", "9" * 30, "bad_time"),
        ("1612266317519", '"1612266317519"', "wrong_type"),
        ("1612266317519", "1612266317519.5", "wrong_type"),
        ('"sell"', '"long"', "bad_side"),
        ('"liquidation"', '""', "missing_field"),
        ('"liquidation"', "7", "wrong_type"),
        ('"type":"liquidation",', "", "missing_field"),
        ('"uid":"05af78ac-a774-478c-a50c-8b9c234e071e",', "", "missing_field"),
        ("05af78ac-a774-478c-a50c-8b9c234e071e", "", "missing_field"),
        ('"product_id":"PI_XBTUSD",', "", "missing_field"),
        ("PI_XBTUSD", "PV_XRPXBT", "unknown_quote"),
        ("PI_XBTUSD", "PI_XBTEUR", "unknown_quote"),
        ("15000", "0", "bad_quantity"),
        ("15000", '"15000"', "wrong_type"),
        ("34969.5", "NaN", "bad_price"),
    ],
)
def test_a_bad_futures_row_is_refused_with_its_reason(old: str, new: str, reason: str) -> None:
    """Nothing malformed becomes a trade, and the dead letter says why."""
    row = FUTURES_ROW.replace(old, new, 1).encode()
    assert reason_of(lambda: futures_row_to_trade(row, KRAKEN_FUTURES)) == reason


def test_a_constant_in_a_field_that_nobody_reads_is_no_fault() -> None:
    """What other tools add to a row does not spoil it."""
    assert spot_row_to_trade(SPOT_ROW.replace('"limit"', "NaN").encode(), KRAKEN_SPOT).trade_id == 10218208


@pytest.mark.timeout(20)
def test_hostile_text_is_refused_in_linear_time() -> None:
    """A megabyte of quotes must not hold the stream up."""
    for row in (b'"NaN' + b'\\"' * 500_000, b'{"NaN":' * 100_000, b"NaN" * 300_000):
        assert reason_of(lambda row=row: spot_row_to_trade(row, KRAKEN_SPOT)) in ("not_json", "wrong_type")  # type: ignore[misc]


@pytest.mark.parametrize("row", [b"", b"{", b"\xff\xfe", b'{"symbol":"\xff"}', b"nul", b"[" * 100_000])
def test_what_is_no_json_is_refused_as_such(row: bytes) -> None:
    """Broken text never raises anything but the typed error."""
    assert reason_of(lambda: spot_row_to_trade(row, KRAKEN_SPOT)) in ("not_json", "wrong_type")
    assert reason_of(lambda: futures_row_to_trade(row, KRAKEN_FUTURES)) in ("not_json", "wrong_type")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_trade_or_a_typed_refusal(row: bytes) -> None:
    """No input raises anything but the typed error."""
    with pytest.raises(BadRecord):
        spot_row_to_trade(row, KRAKEN_SPOT)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(json.loads(SPOT_ROW))), value=_JSON)
def test_any_value_in_any_field_is_a_trade_or_a_typed_refusal(field: str, value: Any) -> None:
    """A wrong field gives a reason from the list, whatever it holds."""
    row = json.dumps(json.loads(SPOT_ROW) | {field: value}).encode()
    parsed = parse_spot_message(b'{"channel":"trade","type":"update","data":[' + row + b"]}", KRAKEN_SPOT)
    assert len(parsed.trades) + len(parsed.rejects) == 1
    assert {reject.reason for reject in parsed.rejects} <= set(REASONS)
    assert all(trade.price.is_finite() and trade.quantity > 0 for trade in parsed.trades)


@given(
    price=st.decimals(min_value="0.00000001", max_value="1000000", places=8),
    quantity=st.decimals(min_value="0.00000001", max_value="1000000000", places=8),
)
def test_numbers_keep_every_digit(price: Decimal, quantity: Decimal) -> None:
    """Price and quantity are those of the text, not of a binary fraction near it."""
    row = SPOT_ROW.replace("105944.20", f"{price:f}").replace("0.00027625", f"{quantity:f}")
    trade = spot_row_to_trade(row.encode(), KRAKEN_SPOT)
    assert (str(trade.price), str(trade.quantity)) == (str(Decimal(f"{price:f}")), str(Decimal(f"{quantity:f}")))


def test_a_uid_that_is_no_uuid_still_has_an_identity() -> None:
    """Such a uid is hashed: the same text gives the same id, below 128 bits."""
    assert uid_to_id("abc") == uid_to_id("abc") != uid_to_id("abd")
    assert 0 <= uid_to_id("abc") < 2**128


def test_a_quote_that_counts_as_usd_is_a_setting() -> None:
    """USDT counts by default and not where the settings leave it out."""
    row = SPOT_ROW.replace("BTC/USD", "BTC/USDT").encode()
    assert spot_row_to_trade(row, KRAKEN_SPOT).symbol == "BTC/USDT"
    assert (
        reason_of(lambda: spot_row_to_trade(row, KrakenSpot(load_settings(spot_symbols=(), usd_quotes=("USD",)))))
        == "unknown_quote"
    )
