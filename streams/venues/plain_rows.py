"""Rows of JSON that are read together: those that are plain. Any other is read alone, by its venue.

A row is plain where it has a venue's plain fields, and none by which another venue is recognised. Its numbers have at
most 15 digits. Its venue would make the same trade of it, bit for bit; a property test says so.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol, cast

import msgspec
import numpy as np

from streams.errors import BadRecord
from streams.model.decimals import MOST_DIGITS, Integers, linear_amounts
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.products import Product, linear
from streams.model.trade import MAX_TIME_US, MIN_TIME_US, Side, is_market_name
from streams.venues.asking import product_of
from streams.venues.base import Venue
from streams.venues.json_rows import VENUE, recognised
from streams.venues.json_text import BAD_JSON

_SIDES: Final = {"buy": int(Side.BUY), "sell": int(Side.SELL)}
# A field that must not be there: nothing that JSON holds is of this type.
_Absent = msgspec.UnsetType
_NUMBER_CHARACTERS: Final = b"0123456789."
_MARKED: Final = bytes(ord("0") if at in _NUMBER_CHARACTERS else ord(" ") for at in range(256))
# All of them, and one more, are so many characters that follow each other.
_LEAST_CHARACTER: Final = min(_NUMBER_CHARACTERS)
_CHARACTERS: Final = max(_NUMBER_CHARACTERS) - _LEAST_CHARACTER
# With more digits than this a number has a run of as many of these characters, whatever its exponent.
_LONG: Final = b"0" * (MOST_DIGITS + 1)

# Kraken lists about 1 500 markets.
_MAX_SYMBOLS: Final = 16_384


class PlainReader:
    """Reads plain rows of the first of these venues that has such, and that is recognised by their fields."""

    def __init__(self, venues: Iterable[Venue]) -> None:
        self._venue: Symbols | None = None
        with_rows = [venue for venue in venues if venue.row_fields]
        for venue in with_rows:
            fields = venue.plain_fields if speaks_of(venue, "plain_fields", "read_row") else None
            if fields is not None and set(venue.row_fields) <= {*fields} and recognised(with_rows, fields) is venue:
                others = {VENUE, *(name for other in with_rows for name in other.row_fields)} - {*fields}
                self._venue = Symbols(venue)
                self._decode = msgspec.json.Decoder(row_struct(fields, sorted(others))).decode
                self._amounts = msgspec.json.Decoder(amounts_struct(fields)).decode
                return

    def read(self, rows: Sequence[bytes | None]) -> PlainRows | None:
        """Return the plain ones of these rows, None where there are none. Raises nothing."""
        if self._venue is None:
            return None
        found = self._read([row or b"" for row in rows], self._venue)
        return found if found is not None and len(found.places) else None

    def _read(self, texts: Sequence[bytes], venue: "Symbols") -> PlainRows | None:
        has_long = are_long(texts) and self._has_long(texts)
        if texts and not has_long:
            try:
                return columns_of(venue, list(map(self._decode, texts)), np.arange(len(texts)))
            except BAD_JSON:
                pass
        decode, found, places = self._decode, [], []
        for at, row in enumerate(texts):
            if has_long and self._has_long((row,)):
                continue
            try:
                found.append(decode(row))
            except BAD_JSON:
                continue
            places.append(at)
        return columns_of(venue, found, np.array(places, np.int64)) if found else None

    def _has_long(self, texts: Iterable[bytes]) -> bool:
        """Whether an amount in these rows may have more than 15 digits: other fields' digits are nobody's business."""
        try:
            amounts = [part for row in map(self._amounts, texts) for part in (row.price, row.quantity)]
        except BAD_JSON:
            return True
        return any(len(amount) > MOST_DIGITS for amount in amounts) and are_long(map(bytes, amounts))


def are_long(texts: Iterable[bytes]) -> bool:
    """Whether a number in these texts may have more than 15 digits."""
    joined = b"\n".join(texts)
    return _may_have_long(joined) and _LONG in joined.translate(_MARKED)


def _may_have_long(text: bytes) -> bool:
    """Whether every second byte is a number's eight times one after another, as it is in each long number."""
    marks = np.frombuffer(text, np.uint8)[::2] - _LEAST_CHARACTER <= _CHARACTERS
    for step in (1, 2, 4):
        marks = marks[:-step] & marks[step:]
    return bool(marks.any())


class Symbols:
    """A venue, and what markets its symbols are. It is asked about a symbol each time, and may change its mind."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._known: dict[str, tuple[Product, PlainMarket | None]] = {}

    def market(self, symbol: str) -> PlainMarket | None:
        """Return the market of a symbol, None where its rows are not plain."""
        try:
            product = product_of(self.venue, symbol)
        except BadRecord:
            return None
        known = self._known.get(symbol)
        if known is None or known[0] is not product:
            if len(self._known) >= _MAX_SYMBOLS:
                self._known.clear()
            is_plain = product.notional is linear and not product.kind.has_wide_ids
            names = (symbol, self.venue.name)
            is_plain = is_plain and all(map(is_market_name, names))
            known = product, PlainMarket(self.venue.name, symbol, product.kind) if is_plain else None
            self._known[symbol] = known
        return known[1]


def speaks_of(venue: Venue, plain: str, reading: str) -> bool:
    """Whether what a venue calls plain is of its own way of reading, and not of one that another class replaced."""
    said, read = (
        next(at for at, kind in enumerate(type(venue).__mro__) if name in vars(kind)) for name in (plain, reading)
    )
    return said <= read


class PlainRow(Protocol):
    """A decoded row; :class:`streams.venues.base.PlainFields` says what its fields are called."""

    symbol: str
    side: Literal["buy", "sell"]
    price: float
    quantity: float
    trade_id: int
    time: datetime


# In the order of the plain fields, which a venue gives in the order of its rows: those are found at once.
_TYPES: Final = {
    "symbol": str,
    "side": Literal["buy", "sell"],
    "price": float,
    "quantity": float,
    "trade_id": Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)],
    "time": Annotated[datetime, msgspec.Meta(tz=True)],
}


def row_struct(fields: Sequence[str], others: Sequence[str]) -> type[PlainRow]:
    """Return the type of a row with these fields, in the order of :class:`PlainFields`, and none of the others."""
    absent = {f"other_{number}": name for number, name in enumerate(others)}
    made = msgspec.defstruct(
        "PlainRow",
        [*_TYPES.items(), *((attribute, _Absent, None) for attribute in absent)],
        rename=dict(zip(_TYPES, fields, strict=True)) | absent,
        gc=False,
    )
    return cast("type[PlainRow]", made)


class Amounts(Protocol):
    """The text of a row's amounts."""

    price: msgspec.Raw
    quantity: msgspec.Raw


def amounts_struct(fields: Sequence[str]) -> type[Amounts]:
    """Return the type of a row with these fields, in the order of :class:`PlainFields`, of which amounts are read."""
    named = dict(zip(_TYPES, fields, strict=True))
    amounts = ("price", "quantity")
    made = msgspec.defstruct(
        "Amounts", [(name, msgspec.Raw) for name in amounts], rename={name: named[name] for name in amounts}, gc=False
    )
    return cast("type[Amounts]", made)


def columns_of(venue: Symbols, found: Sequence[PlainRow], places: Integers) -> PlainRows:
    """Return the plain ones of rows that were decoded as :func:`row_struct` and stood at these places."""
    symbols = [row.symbol for row in found]
    numbers = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    markets = list(map(venue.market, numbers))
    count = len(found)
    prices = np.fromiter([row.price for row in found], np.float64, count)
    amounts = linear_amounts(prices, np.fromiter([row.quantity for row in found], np.float64, count))
    # Between 2009 and 2100 a double of seconds is less than half a microsecond off.
    seconds = np.fromiter([row.time.timestamp() for row in found], np.float64, count)
    times = np.rint(np.clip(seconds, -1e10, 1e10) * 1e6).astype(np.int64)
    market = np.fromiter(map(numbers.__getitem__, symbols), np.int64, count)
    is_plain = amounts.is_exact & (times >= MIN_TIME_US) & (times < MAX_TIME_US)
    if None in markets:
        is_plain &= np.array([found is not None for found in markets])[market]
        market = (np.cumsum([found is not None for found in markets]) - 1)[market]
    rows = PlainRows.of(
        [found for found in markets if found is not None],
        places,
        market,
        np.fromiter([row.trade_id for row in found], np.int64, count),
        times,
        prices,
        amounts,
        np.fromiter([_SIDES[row.side] for row in found], np.int64, count),
    )
    return rows if is_plain.all() else rows.taken(is_plain)
