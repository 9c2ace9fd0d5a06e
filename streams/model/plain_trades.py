"""Trades of a recording as columns, which read as the sequence of trades that they are. Pure.

A trade is made of its row only where somebody looks at it. What frames need is in the columns.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np

from streams.model.decimals import Integers, Marks
from streams.model.frames import encode_columns
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.trade import Trade


class Run(NamedTuple):
    """Trades of one market, in order."""

    market: PlainMarket
    trades: "PlainTrades"


class PlainTrades(Sequence[Trade]):
    """Trades that live fills are, in the order of their rows.

    ``make`` returns the trade of a row by its place, as whoever reads one row alone would make it. ``received_us`` is
    when each was received, microseconds UTC, where a recording says so.
    """

    def __init__(self, rows: PlainRows, make: Callable[[int], Trade], received_us: Integers | None = None) -> None:
        self.rows = rows
        self.received_us = received_us
        self._make = make

    def __len__(self) -> int:
        return len(self.rows.places)

    @overload
    def __getitem__(self, at: int) -> Trade: ...

    @overload
    def __getitem__(self, at: slice) -> "PlainTrades": ...

    def __getitem__(self, at: int | slice) -> "Trade | PlainTrades":
        return self.taken(at) if isinstance(at, slice) else self._make(int(self.rows.places[at]))

    def __iter__(self) -> Iterator[Trade]:
        return map(self._make, self.rows.places.tolist())

    @property
    def times_us(self) -> Integers:
        """When each happened, microseconds UTC."""
        return self.rows.times_us

    def taken(self, at: Integers | Marks | slice) -> "PlainTrades":
        """Return the trades at these places, or those that are marked."""
        received_us = None if self.received_us is None else self.received_us[at]
        return PlainTrades(self.rows.taken(at), self._make, received_us)

    def joined(self, others: Sequence["PlainTrades"]) -> "PlainTrades":
        """Return these trades and those of others behind them, all of one market. When they were received is lost."""
        parts = [self, *others]
        lengths = [len(part) for part in parts]
        starts = np.cumsum([0, *lengths[:-1]])
        makers = [(part._make, part.rows.places) for part in parts]

        def make(place: int) -> Trade:
            part = int(np.searchsorted(starts, place, "right")) - 1
            made, places = makers[part]
            return made(int(places[place - int(starts[part])]))

        # Behind the markets and the places.
        columns = [np.concatenate(column) for column in zip(*(part.rows[2:] for part in parts), strict=True)]
        columns[0] = np.zeros(sum(lengths), np.int64)
        market = self.rows.markets[int(self.rows.market[0])]
        return PlainTrades(PlainRows([market], np.arange(sum(lengths)), *columns), make)

    def by_market(self) -> list[Run]:
        """Return the trades of each market, markets in the order of their first trades."""
        markets, market = self.rows.markets, self.rows.market
        if len(markets) == 1 or (market == market[0]).all():
            return [Run(markets[int(market[0])], self)]
        order = np.argsort(market, kind="stable")
        edges = np.flatnonzero(np.diff(market[order])) + 1
        places = sorted(np.split(order, edges), key=lambda some: int(some[0]))
        return [Run(markets[int(market[some[0]])], self.taken(some)) for some in places]

    def frame(self, received_us: int) -> bytes:
        """Return the frame of these trades, all of one market (:mod:`streams.model.frames`)."""
        rows = self.rows
        market = rows.markets[int(rows.market[0])]
        columns = (rows.ids, rows.times_us, rows.prices, rows.notionals, rows.rests, rows.wholes, rows.fractions)
        return encode_columns(market.venue, market.symbol, market.kind, received_us, columns, rows.sides)
