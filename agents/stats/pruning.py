"""Old rows go, in batches: one statement for all of them would take longer than any may, and fail for ever."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from agents.alerts.columns import IDENTITY
from agents.alerts.postgres import answering
from agents.retry import stopped_within
from streams import metrics
from streams.errors import MonitorError
from streams.settings import Settings
from streams.unexpected import say_once

log = logging.getLogger(__name__)

# Rows are kept for days: an hour more or less does not matter.
PRUNE_EVERY_SECONDS: Final = 3600.0
# After a failure, so that a Postgres that was away for a moment does not cost an hour.
RETRY_SECONDS: Final = 60.0
# 10 000 rows go in a tenth of a second where nothing else is done. The limit leaves room for a disk that is busy. What
# takes longer is tried with half as many.
MOST_ROWS: Final = 10_000
LEAST_ROWS: Final = 100
BATCH_SECONDS: Final = 5.0
# Alerts and samples are written in between.
PAUSE_SECONDS: Final = 0.05

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


class Kept(NamedTuple):
    """A table and for how many days its rows are kept.

    ``delete`` removes up to $3 rows from $1 on and before $2, oldest first. It returns how many and the time of the
    last. ``oldest`` returns the time of the oldest row. A batch that begins where the last one ended does not search
    what was deleted again.
    """

    table: str
    days: int
    delete: str
    oldest: str


# A row is named by where it is: by its key it would be searched for. With hypertables that place is one of each chunk,
# and the second condition lets only old rows go.
DELETE_SAMPLES: Final = """
WITH gone AS (
    DELETE FROM window_stats
    WHERE sampled_at < $2 AND ctid = ANY(ARRAY(
        SELECT ctid FROM window_stats WHERE sampled_at >= $1 AND sampled_at < $2
        ORDER BY sampled_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ))
    RETURNING sampled_at
)
SELECT count(*) AS rows, max(sampled_at) AS reached FROM gone
"""

_KEY: Final = ", ".join(f'"{column}"' for column in IDENTITY)
_SAME: Final = " AND ".join(f'row."{column}" = old."{column}"' for column in IDENTITY)
# An alert goes with its message, and neither goes while something is to be told.
DELETE_ALERTS: Final = f"""
WITH old AS (
    SELECT {", ".join(f'alert."{column}"' for column in IDENTITY)}, alert.updated_at
    FROM liquidation_alerts AS alert LEFT JOIN alert_outbox AS message USING ({_KEY})
    WHERE alert.updated_at >= $1 AND alert.updated_at < $2
        AND (message.state IS NULL OR (message.updated_at < $2 AND message.state NOT IN ('pending', 'sending')))
    ORDER BY alert.updated_at LIMIT $3
    FOR UPDATE OF alert SKIP LOCKED
), untold AS (
    DELETE FROM alert_outbox AS row USING old WHERE {_SAME}
), gone AS (
    DELETE FROM liquidation_alerts AS row USING old WHERE {_SAME} RETURNING old.updated_at
)
SELECT count(*) AS rows, max(updated_at) AS reached FROM gone
"""  # noqa: S608 - columns are constants, values are parameters


def kept(settings: Settings) -> list[Kept]:
    """Return what is pruned. Alerts are kept for ever unless a setting says for how long."""
    found = [
        Kept("window_stats", settings.stats_retention_days, DELETE_SAMPLES, "SELECT min(sampled_at) FROM window_stats")
    ]
    if settings.alert_retention_days is not None:
        oldest = "SELECT min(updated_at) FROM liquidation_alerts"
        found.append(Kept("liquidation_alerts", settings.alert_retention_days, DELETE_ALERTS, oldest))
    return found


class Pruner:
    """Deletes what is older than it is kept, once an hour. Several workers share the work, row by row."""

    def __init__(
        self, pool: asyncpg.Pool, tables: Sequence[Kept], *, batch_seconds: float = BATCH_SECONDS, rows: int = MOST_ROWS
    ) -> None:
        self._pool = pool
        self._tables = tables
        self._batch_seconds = batch_seconds
        self._rows = self._most_rows = rows
        for one in tables:
            metrics.pruned_rows.labels(one.table)
            metrics.prune_overdue_seconds.labels(one.table).set(0)

    async def run(self, stop: asyncio.Event) -> None:
        """Prune until ``stop`` is set. A failure is logged, whatever it is, and tried again after a minute."""
        wait_seconds = 0.0
        while not await stopped_within(stop, wait_seconds):
            wait_seconds = PRUNE_EVERY_SECONDS
            for one in self._tables:
                try:
                    await self.prune(one)
                except MonitorError as error:
                    wait_seconds = RETRY_SECONDS
                    log.warning("old rows of %s stay for now: %s", one.table, error)
                except Exception as error:  # noqa: BLE001 - pruning that ended would be missed by nobody
                    wait_seconds = RETRY_SECONDS
                    say_once(log, f"pruning {one.table}", error)

    async def prune(self, one: Kept) -> int:
        """Delete the rows of a table that are too old; return how many went.

        Raises :class:`streams.errors.Outage` when Postgres does not answer, or does not get done with the smallest
        batch.
        """
        # By Postgres's clock, which every worker has in common. One that is a month ahead here would delete everything.
        with answering(f"pruning {one.table}"):
            until = await self._pool.fetchval("SELECT now()") - timedelta(days=one.days)
        since, total = BEGINNING, 0
        self._rows = min(self._most_rows, self._rows * 2)
        try:
            while True:
                asked = self._rows
                row = await self._batch(one, since, until)
                if row is None:
                    continue
                rows = int(row["rows"])
                metrics.pruned_rows.labels(one.table).inc(rows)
                total += rows
                if rows < asked:
                    return total
                since = row["reached"]
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._measure(one, until)

    async def _batch(self, one: Kept, since: datetime, until: datetime) -> asyncpg.Record | None:
        """Delete one batch; None where it took too long, and the next is smaller."""
        with answering(f"pruning {one.table}"):
            try:
                row = await self._pool.fetchrow(one.delete, since, until, self._rows, timeout=self._batch_seconds)
            except TimeoutError:
                if self._rows <= LEAST_ROWS:
                    raise
                self._rows = max(LEAST_ROWS, self._rows // 2)
                return None
        return row

    async def _measure(self, one: Kept, until: datetime) -> None:
        with answering(f"pruning {one.table}"):
            oldest = await self._pool.fetchval(one.oldest)
        overdue = 0.0 if oldest is None else max(0.0, (until - oldest).total_seconds())
        metrics.prune_overdue_seconds.labels(one.table).set(overdue)
