"""Samples of the windows for dashboards: many rows in one statement, old ones pruned."""

import time
from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec

from agents.alerts.columns import instant, usd
from agents.alerts.postgres import answering

PRUNE_EVERY_SECONDS: Final = 3600.0


class WindowSample(msgspec.Struct, frozen=True):
    """One window of one market at one moment.

    ``sampled_at`` is in unix seconds, rounded by the sampler to its interval, so that a sample taken twice is one row.
    ``window_end`` (unix seconds) is exclusive. Prices are ``None`` for a window without trades.
    """

    sampled_at: int
    venue: str
    symbol: str
    window_seconds: int
    window_end: int
    count: int
    total_volume_micro_usd: int
    buy_volume_micro_usd: int
    sell_volume_micro_usd: int
    liquidation_volume_micro_usd: int
    liquidation_long_micro_usd: int
    liquidation_short_micro_usd: int
    largest_trade_micro_usd: int
    vwap: float | None = None
    price_change_pct: float | None = None
    realized_volatility: float | None = None
    first_price: float | None = None
    last_price: float | None = None
    high: float | None = None
    low: float | None = None


# Column, its type in Postgres. The order is that of the record's fields.
_TYPES: Final = (
    ("sampled_at", "timestamptz"),
    ("venue", "text"),
    ("symbol", "text"),
    ("window_seconds", "integer"),
    ("window_end", "timestamptz"),
    ("count", "bigint"),
    ("total_volume_usd", "numeric"),
    ("buy_volume_usd", "numeric"),
    ("sell_volume_usd", "numeric"),
    ("liquidation_volume_usd", "numeric"),
    ("liquidation_long_usd", "numeric"),
    ("liquidation_short_usd", "numeric"),
    ("largest_trade_usd", "numeric"),
    ("vwap", "double precision"),
    ("price_change_pct", "double precision"),
    ("realized_volatility", "double precision"),
    ("first_price", "double precision"),
    ("last_price", "double precision"),
    ("high", "double precision"),
    ("low", "double precision"),
)
_CONVERT: Final = {"timestamptz": instant, "numeric": usd}

INSERT: Final = (
    f"INSERT INTO window_stats ({', '.join(name for name, _ in _TYPES)}) "  # noqa: S608 - constants above
    f"SELECT * FROM unnest({', '.join(f'${n}::{kind}[]' for n, (_, kind) in enumerate(_TYPES, 1))}) "
    "ON CONFLICT (venue, symbol, window_seconds, sampled_at) DO NOTHING"
)


class WindowStats:
    """Writes samples and, once an hour, forgets those older than ``keep_days``."""

    def __init__(self, pool: asyncpg.Pool, *, keep_days: int) -> None:
        self._pool = pool
        self._keep_days = keep_days
        self._prune_at = 0.0

    async def write(self, samples: Sequence[WindowSample]) -> int:
        """Insert the samples in one statement and return how many were new.

        Raises :class:`Outage` when Postgres does not answer; a sample is worth no retry, the next one follows.
        """
        if not samples:
            return 0
        rows = zip(*(msgspec.structs.astuple(sample) for sample in samples), strict=True)
        with answering("sampling windows"):
            columns = [
                [_CONVERT[kind](value) for value in values] if kind in _CONVERT else list(values)
                for values, (_, kind) in zip(rows, _TYPES, strict=True)
            ]
            status = await self._pool.execute(INSERT, *columns)
            if time.monotonic() >= self._prune_at:
                await self.prune()
        return int(status.rpartition(" ")[2])

    async def prune(self) -> None:
        """Delete the samples that are too old. Raises :class:`Outage` when Postgres does not answer."""
        with answering("pruning samples"):
            await self._pool.execute(
                "DELETE FROM window_stats WHERE sampled_at < now() - make_interval(days => $1)", self._keep_days
            )
        self._prune_at = time.monotonic() + PRUNE_EVERY_SECONDS
