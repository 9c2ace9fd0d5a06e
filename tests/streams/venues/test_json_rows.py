"""A row goes to the venue that it is of, and nothing in its text is guessed from."""

from typing import Any

import msgspec
import pytest

from streams.errors import BadRecord
from streams.model.deadletters import REASONS
from streams.model.kinds import SPOT_KIND
from streams.model.products import Product, linear
from streams.model.trade import Trade
from streams.settings import load_settings
from streams.venues.base import Feed, Venue
from streams.venues.json_rows import RowReader
from streams.venues.kraken.venue import venues
from streams.venues.parsed import Parsed
from tests.trades import spot

SPOT_ROW: dict[str, Any] = {
    "symbol": "BTC/USD", "side": "buy", "price": 100.5, "qty": 2, "ord_type": "market", "trade_id": 1,
    "timestamp": "2023-11-14T22:13:20.250000Z",
}  # fmt: skip
FUTURES_ROW: dict[str, Any] = {
    "feed": "trade", "product_id": "PF_XBTUSD", "uid": "05af78ac-a774-478c-a50c-8b9c234e071e", "side": "sell",
    "type": "liquidation", "seq": 1, "time": 1_700_000_000_000, "qty": 2.5, "price": 100_000,
}  # fmt: skip
SETTINGS = load_settings(spot_venue="a", futures_venue="b")


class Plain(Venue):
    """A venue of two fields."""

    row_fields: tuple[str, ...] = ("pair-name", "n")

    def product_of(self, _: str) -> Product:
        return Product(SPOT_KIND, linear)

    def feed(self) -> Feed | None:
        return None

    def read_message(self, _: bytes) -> Parsed:
        return Parsed()

    def read_row(self, row: bytes) -> Trade:
        return spot(msgspec.json.decode(row)["n"], venue=self.name)


class Silent(Plain):
    """A venue without rows."""

    row_fields = ()


READER = RowReader([*venues(SETTINGS), Plain("plain"), Silent("silent")])


def read(row: object) -> Trade:
    return READER.read(msgspec.json.encode(row))


def reason_of(row: bytes) -> str:
    """Return why no venue takes the row."""
    with pytest.raises(BadRecord) as refused:
        READER.read(row)
    assert refused.value.reason in REASONS
    return refused.value.reason


@pytest.mark.parametrize(
    ("row", "venue"), [(SPOT_ROW, "a"), (FUTURES_ROW, "b"), ({"pair-name": "X", "n": 7}, "plain")], ids=["a", "b", "c"]
)
def test_a_row_is_of_the_venue_that_recognises_its_fields(row: dict[str, Any], venue: str) -> None:
    """Under the name that the settings give that venue."""
    assert read(row).venue == venue


@pytest.mark.parametrize(
    "more",
    [
        {"ord_type": "uid"},
        {"uid": "05af78ac-a774-478c-a50c-8b9c234e071e"},
        {"uid": 7, "type": "fill"},
        {"note": {"uid": "x", "product_id": "PF_XBTUSD", "type": "fill"}},
    ],
    ids=str,
)
def test_a_spot_row_that_says_uid_somewhere_is_spot(more: dict[str, Any]) -> None:
    """In a value, a further field or a nested one: what it has of a spot row decides."""
    trade = read(SPOT_ROW | more)
    assert (trade.venue, trade.symbol, trade.trade_id) == ("a", "BTC/USD", 1)


def test_a_futures_row_with_fields_of_others_is_futures() -> None:
    """What other tools add to a row does not move it to another market."""
    assert read(FUTURES_ROW | {"symbol": "x", "trade_id": 1, "timestamp": "now", "n": 1}).venue == "b"


def test_a_row_that_names_its_venue_is_of_that_venue() -> None:
    """Whatever its fields look like."""
    assert read(SPOT_ROW | {"venue": "a"}).venue == "a"
    assert read(SPOT_ROW | {"venue": "plain", "n": 3}) == spot(3, venue="plain")


@pytest.mark.parametrize("venue", ["elsewhere", "", "silent", "recording:x"])
def test_a_venue_that_is_not_known_is_said(venue: str) -> None:
    """Its trades belong into no other venue's windows."""
    assert reason_of(msgspec.json.encode(SPOT_ROW | {"venue": venue})) == "unknown_venue"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{}", "missing_field"),
        (b'{"something":"else"}', "missing_field"),
        (b'{"venue":7,"symbol":"BTC/USD"}', "wrong_type"),
        (b'{"venue":null}', "wrong_type"),
        (b"[]", "wrong_type"),
        (b'"uid"', "wrong_type"),
        (b'{"uid"', "not_json"),
        (b"{NaN}", "not_json"),
        (b'{"uid":"\xff"}', "not_json"),
        (b"\xff", "not_json"),
    ],
)
def test_what_no_venue_recognises_is_refused_with_a_reason(row: bytes, reason: str) -> None:
    """Never taken for another venue's, never another error."""
    assert reason_of(row) == reason


@pytest.mark.parametrize(
    ("row", "field"),
    [(FUTURES_ROW, "type"), (FUTURES_ROW, "product_id"), (FUTURES_ROW, "qty"), (SPOT_ROW, "symbol"), (SPOT_ROW, "qty")],
)
def test_a_row_that_lacks_a_field_is_refused_by_its_venue(row: dict[str, Any], field: str) -> None:
    """Which says the field by name."""
    with pytest.raises(BadRecord, match=f"missing_field: {field} is missing"):
        read({name: value for name, value in row.items() if name != field})


def test_a_constant_that_is_no_json_spoils_its_own_field() -> None:
    """A venue says which; in a field that nobody reads it does no harm."""
    row = msgspec.json.encode(SPOT_ROW)
    assert reason_of(row.replace(b"100.5", b"NaN")) == "bad_price"
    assert READER.read(row.replace(b'"market"', b"NaN")).trade_id == 1
