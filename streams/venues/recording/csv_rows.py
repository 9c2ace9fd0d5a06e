"""Rows of CSV as trades. No I/O."""

import csv
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from streams.errors import BadRecord
from streams.model.trade import Batch, Kind, Reject, Side, Trade
from streams.venues.kraken.trade_rows import kind_word, uid_to_id
from streams.venues.recording.columns import Columns, fields_of, is_header, names_of
from streams.venues.recording.lines import OWN_IDS, SIDES, Chunk, parse_number, reject, side_of
from streams.venues.recording.markets import Market, Markets
from streams.venues.recording.times import reader_of

# Spreadsheets and data frames turn whole numbers into 17.0.
_WHOLE: Final = re.compile(r"[0-9]{1,40}(\.0+)?")
# No trade can have it, so a row without an id is looked at once more.
_NO_ID: Final = -1
_FILL: Final = Kind.FILL
KINDS: Final = {kind.name.lower(): kind for kind in Kind}


class CsvFormat:
    """Rows with the columns that were found. A row that names its market is of that, any other of ``market``.

    ``numbered`` says that the rows have no identity of their own. Then a row's id is its place among the file's rows,
    counted on from ``ids_before``. In a file with ids, a row without one gets an id that no venue gives.
    """

    def __init__(
        self, venue: str, columns: Columns, markets: Markets, market: Market | None, *, numbered: bool, ids_before: int
    ) -> None:
        self.venue = venue
        self.columns = columns
        self.markets = markets
        self.market = market
        self.identity = None if numbered else columns.identity
        self.ids_before = ids_before
        self._to_us = reader_of(columns.unit)

    def read(self, chunk: Chunk) -> list[Batch]:
        """Return the rows as one batch. Blank lines and headers are no rows, but have numbers."""
        trades: list[Trade] = []
        rejects: list[Reject] = []
        rows = self.split(chunk.lines)
        if rows is None or self.market is None or not self._is_plain(self.market):
            for at in range(len(chunk.lines)):
                self.read_alone(chunk, at, trades, rejects)
            return [Batch(trades, 0, rejects)]
        columns, (symbol, product) = self.columns, self.market
        venue, width, to_us, identity = self.venue, columns.width, self._to_us, self.identity
        time, price, quantity, side = columns.time, columns.price, columns.quantity, columns.side
        first = chunk.row + self.ids_before
        for fields, made_id in zip(rows, range(first, first + len(rows)), strict=True):
            try:
                if len(fields) == width:
                    trade_id = made_id if identity is None else int(fields[identity]) or _NO_ID
                    paid = Decimal(fields[price])
                    amount = Decimal(fields[quantity])
                    taker = Side.UNKNOWN if side is None else SIDES[fields[side]]
                    time_us = to_us(fields[time])
                    trades.append(Trade(venue, symbol, trade_id, taker, _FILL, paid, amount, time_us, product))
                    continue
            except (BadRecord, ValueError, ArithmeticError, LookupError):
                pass
            self.read_alone(chunk, made_id - first, trades, rejects)
        return [Batch(trades, 0, rejects)]

    def split(self, lines: Sequence[bytes]) -> list[list[str]] | None:
        """Return the fields of each line in one step, None where lines must be looked at one by one."""
        text = b"\n".join(lines)
        # A quote may hide a delimiter. One that is not closed must not swallow the lines below it. Python takes 1_0
        # for a number.
        if not lines or b'"' in text or b"_" in text:
            return None
        decoded = text.decode("latin-1").split("\n")
        try:
            rows = list(csv.reader(decoded, delimiter=self.columns.delimiter, quoting=csv.QUOTE_NONE))
        except csv.Error:
            return None
        return rows if len(rows) == len(lines) else None

    def _is_plain(self, market: Market) -> bool:
        is_told = self.columns.kind is None and self.columns.exchange is None
        return is_told and (self.identity is None or not market[1].kind.has_wide_ids)

    def read_alone(self, chunk: Chunk, at: int, trades: list[Trade], rejects: list[Reject]) -> None:
        """Read the line at this place of a chunk: a trade, a reject, or neither."""
        line = chunk.lines[at]
        if not line.strip():
            return
        symbol = "" if self.market is None else self.market[0]
        try:
            try:
                fields = fields_of(line, self.columns.delimiter)
            except csv.Error as error:
                raise BadRecord("wrong_type", f"no row of CSV: {error}") from None
            if not self._is_header(fields):
                trades.append(self._trade(fields, chunk.row + at))
        except BadRecord as error:
            detail = f"line {chunk.number + at * chunk.step}: {error.detail}"
            rejects.append(reject(error.reason, detail, line, self.venue, symbol))

    def _is_header(self, fields: Sequence[str]) -> bool:
        """Whether it is the file's header once more, as where files were put together."""
        return is_header(fields) and (not self.columns.header or names_of(fields) == self.columns.header)

    def _trade(self, fields: Sequence[str], row: int) -> Trade:
        columns = self.columns
        if len(fields) != columns.width:
            reason = "missing_field" if len(fields) < columns.width else "wrong_type"
            raise BadRecord(reason, f"{len(fields)} fields, not {columns.width}")
        if columns.exchange is not None:
            self.markets.check_exchange(fields[columns.exchange])
        symbol, product = self.market or self.markets.named(fields[columns.symbol or 0])
        try:
            time_us = self._to_us(fields[columns.time])
        except ValueError as error:
            raise BadRecord("bad_time", str(error)) from None
        taker = Side.UNKNOWN if columns.side is None else side_of(fields[columns.side])
        kind, word = (Kind.FILL, "") if columns.kind is None else _kind(fields[columns.kind])
        price = parse_number(fields[columns.price], "price")
        quantity = parse_number(fields[columns.quantity], "quantity")
        trade_id = row + self.ids_before
        if self.identity is not None:
            trade_id = identity_of(fields[self.identity], wide=product.kind.has_wide_ids) or OWN_IDS + trade_id
        return Trade(self.venue, symbol, trade_id, taker, kind, price, quantity, time_us, product, word=word)


def identity_of(text: str, *, wide: bool) -> int | None:
    """Return the id that a text is, as wide as its market's, None where it tells none: nothing, or 0 for all.

    Raises :class:`BadRecord` for a text that is something else.
    """
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        # Of a market with 128-bit ids, a number is a place on a page.
        return None if wide else int(stripped.partition(".")[0]) or None
    if not stripped:
        return None
    if not wide:
        raise BadRecord("wrong_type", f"trade id is {text[:40]!r}, not a whole number")
    return uid_to_id(stripped)


def _kind(text: str) -> tuple[Kind, str]:
    """Return a kind and, where it is none that is known, the file's word for it: the trade is then in no window."""
    name = text.strip()
    if not name:
        raise BadRecord("missing_field", "the kind of trade is empty")
    kind = KINDS.get(name.lower())
    return (Kind.BLOCK, kind_word(name)) if kind is None else (kind, "")
