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


def joined(parts: Sequence[PlainTrades]) -> PlainTrades:
    """Return the trades of all parts behind each other. When they were received is lost."""
    numbers: dict[PlainMarket, int] = {}
    markets = []
    for part in parts:
        own = [numbers.setdefault(market, len(numbers)) for market in part.rows.markets]
        markets.append(np.array(own, np.int64)[part.rows.market])
    starts = np.cumsum([0, *(len(part) for part in parts)])

    def make(place: int) -> Trade:
        part = int(np.searchsorted(starts, place, "right")) - 1
        return parts[part][place - int(starts[part])]

    # Behind the markets, the places and each row's market.
    columns = [np.concatenate(column) for column in zip(*(part.rows[3:] for part in parts), strict=True)]
    return PlainTrades(PlainRows([*numbers], np.arange(starts[-1]), np.concatenate(markets), *columns), make)
