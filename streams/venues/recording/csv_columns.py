"""Rows of CSV as columns: those that are plain, together. Any other is read alone, in its place. No I/O.

A row is plain where it is a fill of a market whose quantities are in base currency, with an id of 8 bytes. Its price
and its quantity have at most 15 digits. :class:`~.csv_rows.CsvFormat` would make the same trade of it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from streams.errors import BadRecord
from streams.model.amounts import UNITS_PER_BASE, Amounts, amounts_of
from streams.model.decimals import Integers, Marks, linear_amounts
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.plain_trades import PlainTrades
from streams.model.products import Product, linear
from streams.model.trade import Batch, Kind, Reject, Side, Trade, is_market_name
from streams.venues.recording.csv_rows import CsvFormat
from streams.venues.recording.lines import SIDES, Chunk
from streams.venues.recording.number_columns import doubles, integers, times_us

_SIDES: Final = {name: int(side) for name, side in SIDES.items()}
_NO_SIDE: Final = -1
_NO_MARKET: Final = -1
# One odd row in so many costs as much as reading all of them alone saves.
_ODD_SHARE: Final = 8

Texts = Sequence[Sequence[str]]
"""Columns of a chunk: the texts of one figure each."""


class CsvColumns:
    """A CSV whose rows can be read as trades or as columns of trades, which are equal."""

    def __init__(self, rows: CsvFormat) -> None:
        self._rows = rows
        self._columns = rows.columns

    def read(self, chunk: Chunk) -> list[Batch]:
        """Return the rows as one batch."""
        return self._rows.read(chunk)

    def read_together(self, chunk: Chunk) -> list[Batch]:
        """Return the same in columns, several times as fast."""
        found = self._texts(chunk.lines)
        if found is None:
            return self._rows.read(chunk)
        places, texts = found
        plain, is_plain = self._plain(chunk, places, texts)
        is_odd = np.ones(len(chunk.lines), np.bool_)
        is_odd[places[is_plain]] = False
        odd = np.flatnonzero(is_odd).tolist()
        if len(odd) * _ODD_SHARE > len(chunk.lines):
            return self._rows.read(chunk)
        plain = plain if is_plain.all() else plain.taken(is_plain)
        rejects: list[Reject] = []
        others: list[tuple[int, Trade, Amounts]] = []
        for at in odd:
            alone: list[Trade] = []
            self._rows.read_alone(chunk, at, alone, rejects)
            for trade in alone:
                amounts = _amounts(trade)
                if amounts is None:
                    return self._rows.read(chunk)
                others.append((at, trade, amounts))
        rows = _with(plain, others) if others else plain
        return [Batch(PlainTrades(rows, lambda at: self._alone(chunk, at)) if len(rows.places) else [], 0, rejects)]

    def _alone(self, chunk: Chunk, at: int) -> Trade:
        trades: list[Trade] = []
        self._rows.read_alone(chunk, at, trades, [])
        return trades[0]

    def _texts(self, lines: Sequence[bytes]) -> tuple[Integers, Texts] | None:
        """Return the columns of those lines that are as wide as they should be, and where those stand."""
        delimiter, width = self._columns.delimiter, self._columns.width
        text = b"\n".join(lines)
        delimiters = delimiter.encode()
        if not any(mark in text for mark in (b'"', b"_", b"\r")) and all(
            line.count(delimiters) == width - 1 for line in lines
        ):
            flat = text.decode("latin-1").replace("\n", delimiter).split(delimiter)
            return np.arange(len(lines)), [flat[at::width] for at in range(width)]
        rows = self._rows.split(lines)
        places = [] if rows is None else [at for at, fields in enumerate(rows) if len(fields) == width]
        if rows is None or not places:
            return None
        return np.array(places, np.int64), list(zip(*(rows[at] for at in places), strict=True))

    def _plain(self, chunk: Chunk, places: Integers, texts: Texts) -> tuple[PlainRows, Marks]:
        """Return the rows, and which of them are plain: what the others hold means nothing."""
        columns, count = self._columns, len(places)
        prices, is_plain = doubles(texts[columns.price])
        quantities, are_short = doubles(texts[columns.quantity])
        amounts = linear_amounts(prices, quantities)
        times = times_us(texts[columns.time], columns.unit)
        is_plain &= are_short & amounts.is_exact & (times > 0)
        if self._rows.identity is None:
            ids = places + (chunk.row + self._rows.ids_before)
        else:
            ids = integers(texts[self._rows.identity])
            # 0 is no identity, and what is below is no number.
            is_plain &= ids > 0
        sides = np.full(count, int(Side.UNKNOWN))
        if columns.side is not None:
            sides = np.fromiter((_SIDES.get(side, _NO_SIDE) for side in texts[columns.side]), np.int64, count)
            is_plain &= sides != _NO_SIDE
        if columns.kind is not None:
            fill = Kind.FILL.name.lower()
            is_plain &= np.fromiter((kind == fill for kind in texts[columns.kind]), np.bool_, count)
        if columns.exchange is not None:
            is_plain &= self._are_venues(texts[columns.exchange])
        markets, market = self._markets(None if columns.symbol is None else texts[columns.symbol], count)
        is_plain &= market != _NO_MARKET
        rows = PlainRows.of(
            markets,
            places,
            market,
            ids,
            times,
            prices,
            amounts,
            sides,
        )
        return rows, is_plain

    def _are_venues(self, names: Sequence[str]) -> Marks:
        good = set()
        for name in dict.fromkeys(names):
            try:
                self._rows.markets.check_exchange(name)
            except BadRecord:
                continue
            good.add(name)
        return np.fromiter((name in good for name in names), np.bool_, len(names))

    def _markets(self, names: Sequence[str] | None, count: int) -> tuple[list[PlainMarket], Integers]:
        """Return the markets, and each row's place among them; -1 where its rows are not plain."""
        venue, given = self._rows.venue, self._rows.market
        if given is not None:
            is_plain = _is_plain(venue, *given)
            number = 0 if is_plain else _NO_MARKET
            return [PlainMarket(venue, given[0], given[1].kind)] if is_plain else [], np.full(count, number)
        found: dict[str, PlainMarket] = {}
        symbols: dict[str, str] = {}
        for name in dict.fromkeys(names or ()):
            try:
                symbol, product = self._rows.markets.named(name)
            except BadRecord:
                continue
            if _is_plain(venue, symbol, product):
                symbols[name] = symbol
                found[symbol] = PlainMarket(venue, symbol, product.kind)
        numbers = {symbol: number for number, symbol in enumerate(found)}
        places = {name: numbers[symbol] for name, symbol in symbols.items()}
        return [*found.values()], np.fromiter((places.get(name, _NO_MARKET) for name in names or ()), np.int64, count)


def _is_plain(venue: str, symbol: str, product: Product) -> bool:
    is_linear = product.notional is linear and not product.kind.has_wide_ids
    return is_linear and is_market_name(symbol) and is_market_name(venue)


def _amounts(trade: Trade) -> Amounts | None:
    """Return the amounts of a trade that was read alone, None where columns cannot hold it."""
    if trade.kind is not Kind.FILL or trade.word or trade.is_snapshot or trade.product.kind.has_wide_ids:
        return None
    try:
        return amounts_of(trade)
    except BadRecord:
        return None


def _with(rows: PlainRows, others: Sequence[tuple[int, Trade, Amounts]]) -> PlainRows:
    """Return the rows with those that were read alone, each in its place."""
    markets = list(rows.markets)
    cells = []
    for at, trade, amounts in others:
        market = PlainMarket(trade.venue, trade.symbol, trade.product.kind)
        if market not in markets:
            markets.append(market)
        whole, fraction = divmod(amounts.quantity_units, UNITS_PER_BASE)
        cells.append(
            (
                at,
                markets.index(market),
                trade.trade_id,
                trade.time_us,
                float(trade.price),
                amounts.notional_micro_usd,
                amounts.notional_rest,
                whole,
                fraction,
                int(trade.side),
            )
        )
    added = zip(*cells, strict=True)
    columns = [
        np.concatenate((column, np.array(some, column.dtype))) for column, some in zip(rows[1:], added, strict=True)
    ]
    return PlainRows(markets, *columns).taken(np.argsort(columns[0], kind="stable"))
