"""Trades of many messages as columns: rows that were read together. Pure."""

from typing import NamedTuple

from streams.model.decimals import AmountColumns, Doubles, Integers, Marks
from streams.model.kinds import MarketKind


class PlainMarket(NamedTuple):
    """A market that rows are of."""

    venue: str
    symbol: str
    kind: MarketKind


class PlainRows(NamedTuple):
    """Columns of the plain ones of a number of rows. ``places`` says which those are, ascending.

    ``markets`` are named by their places in the list. Times are microseconds UTC; amounts are those of
    :mod:`streams.model.amounts`. Every trade is a live fill.
    """

    markets: list[PlainMarket]
    places: Integers
    market: Integers
    ids: Integers
    times_us: Integers
    prices: Doubles
    notionals: Integers
    rests: Integers
    wholes: Integers
    fractions: Integers
    sides: Integers

    @classmethod
    def of(
        cls,
        markets: list[PlainMarket],
        places: Integers,
        market: Integers,
        ids: Integers,
        times_us: Integers,
        prices: Doubles,
        amounts: AmountColumns,
        sides: Integers,
    ) -> "PlainRows":
        """Return rows of these columns; what is not exact of the amounts means nothing."""
        return cls(
            markets, places, market, ids, times_us, prices,
            amounts.notionals, amounts.rests, amounts.wholes, amounts.fractions, sides,
        )  # fmt: skip

    def taken(self, at: Integers | Marks | slice) -> "PlainRows":
        """Return the rows at these places of the columns, or those that are marked."""
        return PlainRows(
            self.markets,
            self.places[at],
            self.market[at],
            self.ids[at],
            self.times_us[at],
            self.prices[at],
            self.notionals[at],
            self.rests[at],
            self.wholes[at],
            self.fractions[at],
            self.sides[at],
        )
