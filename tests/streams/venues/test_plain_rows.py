"""Rows read together are the trades that their venues read, bit for bit; what is odd is left to them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from agents.counting.runs import row_of
from streams.errors import BadRecord
from streams.model.amounts import amounts_of
from streams.model.products import Product
from streams.model.trade import MAX_TIME_US, MIN_TIME_US, Trade
from streams.settings import load_settings
from streams.venues.base import Feed, Venue
from streams.venues.json_rows import RowReader
from streams.venues.kraken.venue import KrakenSpot
from streams.venues.parsed import Parsed
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues

VENUES = make_venues(load_settings())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TOGETHER, ALONE = PlainReader(VENUES), RowReader(VENUES)


def _iso(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


NUMBERS = st.one_of(
    st.integers(-2, 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=64).map(repr),
    st.floats(0.0001, 100_000).map(lambda number: f"{number:.{1 + hash(number) % 9}f}"),
    st.decimals(0, 10**9, places=8, allow_nan=False).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["NaN", "null", '"1"', "01", "1.", ".5", "+1", "1e400", "0.30000000000000004", "true"]),
)
TIMES = st.one_of(
    st.from_regex(
        r"20(0[89]|[1-9][0-9])-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
        r"(Z|[+-][01][0-9]:[0-5][0-9]|)",
        fullmatch=True,
    ),
    st.integers(0, 2 * MAX_TIME_US).map(_iso),
    st.sampled_from(["yesterday", "", "2023-11-14"]),
)  # fmt: skip
FIELDS = {
    "symbol": st.sampled_from(["BTC/USD", "ETH/USD", "BTC/EUR", "BTC|/USD", "", "PF_XBTUSD", "\u00fc/USD"]).map(
        lambda text: msgspec.json.encode(text).decode()
    ),
    "side": st.sampled_from(['"buy"', '"sell"', '"hold"', "1"]),
    "price": NUMBERS,
    "qty": NUMBERS,
    "trade_id": st.integers(-1, 2**64).map(str) | st.sampled_from(["1.0", "1e3", '"1"', "9223372036854775807"]),
    "timestamp": TIMES.map(lambda text: f'"{text}"'),
}
FURTHER = st.dictionaries(
    st.sampled_from(["venue", "product_id", "uid", "type", "time", "ord_type", "price", "x"]),
    st.sampled_from(
        [
            '"kraken_spot"',
            '"x"',
            "1",
            "null",
            "1700000000123456",
            '"1234567890123456-a"',
            '{"price": 1}',
            '[1, {"a": "\\"}"}]',
        ]
    ),
    max_size=2,
)


USUAL = {
    "symbol": st.sampled_from(['"BTC/USD"', '"ETH/USD"']),
    "side": st.sampled_from(['"buy"', '"sell"']),
    "price": st.decimals("0.00001", 200_000, places=5).map(str) | st.decimals("0.1", 200_000, places=1).map(str),
    "qty": st.decimals("0.00000001", 1000, places=8).map("{:f}".format) | st.integers(1, 10**6).map(str),
    "trade_id": st.integers(0, 2**63 - 1).map(str),
    "timestamp": st.integers(MIN_TIME_US, MAX_TIME_US - 1).map(lambda us: f'"{_iso(us)}"'),
}


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    """Give a usual row with some of its fields spoilt, missing or moved, and with others beside them."""
    fields = [(name, draw(values)) for name, values in USUAL.items()]
    for at in draw(st.lists(st.integers(0, 5), max_size=2)):
        name = fields[at][0]
        fields[at] = (name, draw(FIELDS[name]))
    if draw(st.integers(0, 9)) == 0:
        fields.pop(draw(st.integers(0, 5)))
    if draw(st.integers(0, 4)) == 0:
        fields = draw(st.permutations([*fields, *draw(FURTHER).items()]))
    separator = draw(st.sampled_from([",", ", ", " ,\n"]))
    text = separator.join(f'"{name}":{value}' for name, value in fields)
    ending = draw(st.sampled_from([*[""] * 8, " ", ",", "}{"]))
    return ("{" + text + "}" + ending).encode("utf-8", "surrogatepass")


def row(**changes: Any) -> bytes:
    fields = {
        "symbol": "BTC/USD", "side": "buy", "price": 100.5, "qty": 2, "trade_id": 1,
        "timestamp": "2023-11-14T22:13:20.250000Z",
    }  # fmt: skip
    return msgspec.json.encode(fields | changes)


@given(st.lists(rows(), min_size=1, max_size=20))
@example([row(), row(price=0.1, qty=0.00000005), row(trade_id=2**63 - 1)])
@example([b'{"a":1', b'"b":2}', row(), row() + b"," + row()])
@example([row().replace(b"100.5", b"100.50000000000001"), row().replace(b"100.5", b"8.000000000000001")])
@example([row(timestamp="2099-12-31T23:59:59.999999Z"), row(timestamp="2023-11-14T22:13:20.2500005+01:00")])
def test_rows_read_together_are_those_read_alone(texts: list[bytes]) -> None:
    found = TOGETHER.read(texts)
    if found is None:
        return
    assert found.places.tolist() == sorted(set(found.places.tolist()))
    for at, place in enumerate(found.places.tolist()):
        trade = ALONE.read(texts[place])
        market = found.markets[found.market[at]]
        assert (trade.venue, trade.symbol, trade.product.kind) == market
        assert row_of(trade, amounts_of(trade)) == (
            found.ids[at], found.times_us[at], found.prices[at], found.notionals[at], found.rests[at],
            found.wholes[at], found.fractions[at], found.sides[at],
        )  # fmt: skip


def test_what_publishers_usually_send_is_plain() -> None:
    """With and without spaces, integers for whole numbers, other fields beside them."""
    texts = [
        row(), row(price=65_000, qty=1), row(ord_type="market"), row(price=0.00001234, qty=1_234_567.12345),
        row(price=105_234.1, qty=0.00012345, timestamp="2023-11-14T22:13:20Z"), row().replace(b",", b", "),
    ]  # fmt: skip
    found = TOGETHER.read(texts)
    assert found is not None
    assert found.places.tolist() == list(range(len(texts)))


def test_long_numbers_beside_the_amounts_are_nobodys_business() -> None:
    """A time in microseconds, an id of many digits: only amounts must be short."""
    texts = [
        row(received=1_700_000_000_123_456), row(id="1234567890123456-a"), row(trade_id=1_700_000_000_123_456),
        row(price=100.00000000000001, received=1_700_000_000_123_456), row(qty=0.1234567890123456),
    ]  # fmt: skip
    found = TOGETHER.read(texts)
    assert found is not None
    assert found.places.tolist() == [0, 1, 2]


class Another(Venue):
    """A venue whose rows have more of the fields that Kraken's have."""

    row_fields = ("symbol", "trade_id", "timestamp", "price")

    def product_of(self, symbol: str) -> Product:
        raise BadRecord("unknown_quote", symbol)

    def feed(self) -> Feed | None:
        return None

    def read_message(self, data: bytes) -> Parsed:
        raise BadRecord("wrong_type", repr(data))


class Reversed(KrakenSpot):
    """Kraken's rows, read otherwise."""

    def read_row(self, row: bytes) -> Trade:
        raise BadRecord("wrong_type", repr(row))


def test_rows_that_another_venue_reads_are_not_plain() -> None:
    """Be it recognised by more fields, or one that reads the same fields in its own way."""
    assert PlainReader([*VENUES, Another("another")]).read([row()]) is None
    assert PlainReader([Reversed(load_settings())]).read([row()]) is None
    assert PlainReader([]).read([row()]) is None
