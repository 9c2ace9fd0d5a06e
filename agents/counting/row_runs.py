"""Rows that are messages of their own, sorted by market and cut into runs of one pane, with each run's sums. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.counting.runs import Row, Trades
from streams.model.amounts import UNITS_PER_BASE
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.trade import Side
from tables.market.identities import TradeId
from tables.market.panes import PANE_US, SUM_LIMIT, Pane

Integers = npt.NDArray[np.int64]

ALONE: Final = -1
"""Instead of a pane's number: the row is counted alone."""

_BUY: Final = int(Side.BUY)


class RowRun(NamedTuple):
    """Rows of one market and one pane, in the order of their messages: those at ``start`` to ``end`` of the batch.

    ``summary`` is their pane, with their ids where they have no hole, which ``is_dense`` says. It is None where they
    are counted row by row. Those are :data:`ALONE`, rows whose ids or times do not rise, and sums that no pane holds.
    ``received_us`` is the latest time of their messages, ``size`` the bytes of them all.
    """

    number: int
    start: int
    end: int
    summary: Pane | None
    is_dense: bool
    received_us: int
    size: int


class MarketRuns(NamedTuple):
    """The runs of one market in order, as columns of what :class:`RowRun` says. At least one.

    ``is_rising``: all have a summary and ids without a hole, and each is of a later pane than the one before.
    """

    numbers: list[int]
    starts: list[int]
    ends: list[int]
    panes: list[Pane]
    is_summed: list[bool]
    is_dense: list[bool]
    received_us: list[int]
    sizes: list[int]
    is_rising: bool

    def run(self, at: int) -> RowRun:
        """Return one of them."""
        return RowRun(
            self.numbers[at],
            self.starts[at],
            self.ends[at],
            self.panes[at] if self.is_summed[at] else None,
            self.is_dense[at],
            self.received_us[at],
            self.sizes[at],
        )

    def between(self, first: int, end: int, *, is_rising: bool) -> "MarketRuns":
        """Return some of them."""
        some = slice(first, end)
        return MarketRuns(
            self.numbers[some], self.starts[some], self.ends[some], self.panes[some], self.is_summed[some],
            self.is_dense[some], self.received_us[some], self.sizes[some], is_rising,
        )  # fmt: skip


class RowBatch:
    """Rows in the order of their markets; ``places`` are those of their messages.

    ``others`` has, by place, the market of each row that is not plain. Rows whose place is in ``done`` are left out.

    ``received_us`` are the times of all messages, and ``sizes`` their bytes. A trade more than ``max_future_us`` ahead
    is counted alone.
    """

    def __init__(
        self,
        rows: PlainRows,
        others: dict[int, int],
        done: set[int],
        received_us: Integers,
        sizes: Sequence[int],
        max_future_us: int,
    ) -> None:
        received = received_us
        market, places = rows.market, rows.places
        numbers = rows.times_us // PANE_US
        numbers[rows.times_us > received[places] + max_future_us] = ALONE
        at = np.arange(len(places))
        if others:
            market = np.concatenate((market, np.fromiter(others.values(), np.int64)))
            places = np.concatenate((places, np.fromiter(others, np.int64)))
            numbers = np.concatenate((numbers, np.full(len(others), ALONE)))
            # They borrow the figures of a plain row, which nobody looks at.
            at = np.concatenate((at, np.zeros(len(others), np.int64)))
        order = np.lexsort((places, market))
        if done:
            order = order[np.isin(places[order], list(done), invert=True)]
        self._columns = rows.taken(at[order])
        self._market, self._numbers, self._received = market[order], numbers[order], received[places[order]]
        self._sizes = np.array(sizes, np.int64)[places[order]]
        self.places: list[int] = places[order].tolist()

    def by_market(self) -> Iterator[tuple[int, MarketRuns]]:
        """Yield each market's place in the list of markets, with its runs."""
        if not self.places:
            return
        starts = self._starts()
        markets = self._market[starts]
        begins = np.flatnonzero(np.diff(markets, prepend=-1))
        runs, rises = self._runs(starts, begins)
        firsts = begins.tolist()
        for market, first, end, is_rising in zip(
            markets[begins].tolist(), firsts, [*firsts[1:], len(starts)], rises, strict=True
        ):
            yield market, runs.between(first, end, is_rising=is_rising)

    def _starts(self) -> Integers:
        begins = np.ones(len(self.places), np.bool_)
        begins[1:] = (np.diff(self._market) != 0) | (np.diff(self._numbers) != 0) | (self._numbers[1:] == ALONE)
        return np.flatnonzero(begins)

    def _runs(self, starts: Integers, begins: Integers) -> tuple[MarketRuns, list[bool]]:
        """Return the runs of all markets, which begin at ``starts``, and of each market whether its runs rise.

        ``begins`` says where each market begins among the runs.
        """
        columns, numbers = self._columns, self._numbers[starts]
        steps = np.diff(columns.ids, prepend=0)
        falls = (steps <= 0) | (np.diff(columns.times_us, prepend=0) < 0)
        holes = steps != 1
        falls[starts] = holes[starts] = False
        ends = np.append(starts[1:], len(self.places))
        lasts = ends - 1
        buys = np.where(columns.sides == _BUY, columns.notionals, 0)
        sums = (columns.notionals, columns.rests, columns.wholes, columns.fractions, buys, falls, holes, self._sizes)
        notionals, rests, wholes, fractions, bought, falling, missing, sizes = (
            np.add.reduceat(column, starts, dtype=np.int64) for column in sums
        )
        carried, fractions = np.divmod(fractions, UNITS_PER_BASE)
        first_ids, last_ids, none = columns.ids[starts], columns.ids[lasts], np.zeros(len(starts), np.int64)
        ids: list[list[TradeId]] = np.stack((first_ids, last_ids), axis=1).tolist()
        for at in np.flatnonzero(missing).tolist():
            ids[at] = []
        # In the order of a pane's fields.
        figures = (
            ends - starts, notionals, rests, wholes + carried, fractions, bought, notionals - bought, none, none,
            np.maximum.reduceat(columns.notionals, starts),
            np.maximum.reduceat(columns.prices, starts), np.minimum.reduceat(columns.prices, starts),
            columns.times_us[starts], first_ids, columns.prices[starts],
            columns.times_us[lasts], last_ids, columns.prices[lasts],
        )  # fmt: skip
        panes = list(map(Pane, ids, *(column.tolist() for column in figures)))
        # Neither sum wraps around: a bundle's rows are too few for that, at the greatest amounts of one trade.
        is_summed = (falling == 0) & (numbers != ALONE) & (notionals < SUM_LIMIT) & (wholes < SUM_LIMIT)
        is_dense = missing == 0
        stays = np.diff(numbers, prepend=ALONE) <= 0
        stays[begins] = False
        rises = np.add.reduceat(~is_summed | ~is_dense | stays, begins, dtype=np.int64) == 0
        runs = MarketRuns(
            numbers.tolist(), starts.tolist(), ends.tolist(), panes, is_summed.tolist(), is_dense.tolist(),
            np.maximum.reduceat(self._received, starts).tolist(), sizes.tolist(), is_rising=False,
        )  # fmt: skip
        return runs, rises.tolist()

    def ids(self, run: RowRun) -> list[int]:
        """Return the ids of a run's trades, ascending."""
        ids: list[int] = self._columns.ids[run.start : run.end].tolist()
        return ids

    def trades(self, at: int, market: PlainMarket, received_us: int) -> Trades:
        """Return a plain row as the message that it is."""
        columns = self._columns
        row: Row = (
            int(columns.ids[at]),
            int(columns.times_us[at]),
            float(columns.prices[at]),
            int(columns.notionals[at]),
            int(columns.rests[at]),
            int(columns.wholes[at]),
            int(columns.fractions[at]),
            int(columns.sides[at]),
        )
        return Trades(market.venue, market.symbol, market.kind, received_us, [row], [""])
