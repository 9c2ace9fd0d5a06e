"""Rows that are messages of their own, sorted by market and cut into runs of one pane, with each run's sums. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.counting.runs import Row, Trades
from streams.model.amounts import UNITS_PER_BASE
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.trade import Side
from tables.market.panes import PANE_US, Pane

Integers = npt.NDArray[np.int64]

ALONE: Final = -1
"""Instead of a pane's number: the row is counted alone."""

_BUY: Final = int(Side.BUY)


class RowRun(NamedTuple):
    """Rows of one market and one pane, in the order of their messages: those at ``start`` to ``end`` of the batch.

    ``summary`` is their pane without ids. It is None where they are counted row by row: that of :data:`ALONE`, or of
    rows whose ids or times do not rise. ``is_dense`` says that their ids have no hole. ``received_us`` is the latest
    time of their messages, ``size`` the bytes of them all.
    """

    number: int
    start: int
    end: int
    summary: Pane | None
    is_dense: bool
    received_us: int
    size: int


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

    def by_market(self) -> Iterator[tuple[int, list[RowRun]]]:
        """Yield each market's place in the list of markets, with its runs in order."""
        if not self.places:
            return
        starts = self._starts()
        markets: list[int] = self._market[starts].tolist()
        runs: list[RowRun] = []
        for at, run in enumerate(self._runs(starts)):
            runs.append(run)
            if at + 1 == len(markets) or markets[at + 1] != markets[at]:
                yield markets[at], runs
                runs = []

    def _starts(self) -> Integers:
        begins = np.ones(len(self.places), np.bool_)
        begins[1:] = (np.diff(self._market) != 0) | (np.diff(self._numbers) != 0) | (self._numbers[1:] == ALONE)
        return np.flatnonzero(begins)

    def _runs(self, starts: Integers) -> Iterator[RowRun]:
        columns, count = self._columns, len(self.places)
        steps = np.diff(columns.ids, prepend=0)
        falls = (steps <= 0) | (np.diff(columns.times_us, prepend=0) < 0)
        holes = steps != 1
        falls[starts] = holes[starts] = False
        ends = np.append(starts[1:], count)
        lasts = ends - 1
        buys = np.where(columns.sides == _BUY, columns.notionals, 0)
        sums = (columns.notionals, columns.rests, columns.wholes, columns.fractions, buys, falls, holes, self._sizes)
        lists = [np.add.reduceat(column, starts, dtype=np.int64).tolist() for column in sums]
        lists += [
            np.maximum.reduceat(columns.notionals, starts).tolist(),
            np.maximum.reduceat(columns.prices, starts).tolist(),
            np.minimum.reduceat(columns.prices, starts).tolist(),
        ]
        lists += [
            column[at].tolist() for at in (starts, lasts) for column in (columns.times_us, columns.ids, columns.prices)
        ]
        for (
            number, start, end, received_us, notional, rest, whole, fraction, buy, falling, missing, size, largest,
            high, low, first_us, first_id, first_price, last_us, last_id, last_price,
        ) in zip(
            self._numbers[starts].tolist(), starts.tolist(), ends.tolist(),
            np.maximum.reduceat(self._received, starts).tolist(), *lists, strict=True,
        ):  # fmt: skip
            if falling or number == ALONE:
                yield RowRun(number, start, end, None, False, received_us, size)  # noqa: FBT003 - once a run
                continue
            carried, fraction_left = divmod(fraction, UNITS_PER_BASE)
            summary = Pane(
                [], end - start, notional, rest, whole + carried, fraction_left, buy, notional - buy, 0, 0, largest,
                high, low, first_us, first_id, first_price, last_us, last_id, last_price,
            )  # fmt: skip
            yield RowRun(number, start, end, summary, not missing, received_us, size)

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
