"""Samples of the windows for dashboards: many rows in a statement."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from agents.alerts.columns import instant, usd
from agents.alerts.postgres import answering
from streams.model.figures import FIGURES, Figure
from tables.market.windows import WindowFigures

ROWS_A_STATEMENT: Final = 100
"""The loop makes and encodes a statement's rows in one step, of 1.7 ms for so many. 3000 rows, which are 1000 markets
with three windows, took it 33 ms at once, on a machine that does nothing else."""


class WindowSample(msgspec.Struct, frozen=True):
    """One window of one market at one moment.

    ``sampled_at`` is in unix seconds, rounded by the sampler to its interval, so that a sample taken twice is one row.
    ``window_end`` (unix seconds) is exclusive.
    """

    sampled_at: int
    venue: str
    symbol: str
    window_seconds: int
    window_end: int
    figures: WindowFigures


# Column, its type in Postgres. The order is that of a row's cells.
_TYPES: Final = (
    ("sampled_at", "timestamptz"),
    ("venue", "text"),
    ("symbol", "text"),
    ("window_seconds", "integer"),
    ("window_end", "timestamptz"),
    *((figure.name, figure.type.sql.partition("(")[0]) for figure in FIGURES),
)

INSERT: Final = (
    f"INSERT INTO window_stats ({', '.join(name for name, _ in _TYPES)}) "  # noqa: S608 - constants above
    f"SELECT * FROM unnest({', '.join(f'${n}::{sql_type}[]' for n, (_, sql_type) in enumerate(_TYPES, 1))}) "
    "ON CONFLICT (venue, symbol, window_seconds, sampled_at) DO NOTHING"
)


def to_row(sample: WindowSample) -> list[Any]:
    """Return a sample's cells. Prices of an empty window are null: a chart would draw a zero."""
    return [
        instant(sample.sampled_at),
        sample.venue,
        sample.symbol,
        sample.window_seconds,
        instant(sample.window_end),
        *(_cell(figure, sample.figures) for figure in FIGURES),
    ]


def _cell(figure: Figure[Any], figures: WindowFigures) -> Any:
    if figure.type.needs_trades and not figures.count:
        return None
    value = getattr(figures, figure.field)
    return usd(value) if figure.type.is_amount and value is not None else value


class WindowStats:
    """Writes samples. :mod:`agents.stats.pruning` forgets them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def write(self, samples: Sequence[WindowSample]) -> int:
        """Insert the samples, others having a turn in between, and return how many were new.

        Raises :class:`Outage` when Postgres does not answer; a sample is worth no retry, the next one follows.
        """
        new = 0
        for at in range(0, len(samples), ROWS_A_STATEMENT):
            columns = zip(*map(to_row, samples[at : at + ROWS_A_STATEMENT]), strict=True)
            await asyncio.sleep(0)
            with answering("sampling windows"):
                status = await self._pool.execute(INSERT, *columns)
            new += int(status.rpartition(" ")[2])
        return new
