"""Alerts become rows: exactly one per alert, however often and in whatever order its messages arrive."""

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final

import asyncpg

from agents.alerts.columns import COLUMNS, COVERED_SINCE, IDENTITY, instant, to_row, unix_seconds
from agents.alerts.postgres import answering, not_deadlocked
from streams import metrics, stages
from streams.model.alert import Alert, AlertId

_row: Final = stages.Stage(stages.ROW)


class RecordOutcome(Enum):
    """What a message did to the rows."""

    INSERTED = "inserted"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"


metrics.start_at_zero(metrics.alert_rows, [outcome.value for outcome in RecordOutcome])


def _quoted(columns: Sequence[str], table: str = "") -> str:
    return ", ".join(f'{table}."{column}"' if table else f'"{column}"' for column in columns)


def _matches(one: str, other: str, columns: Sequence[str] = IDENTITY) -> str:
    return " AND ".join(f'{one}."{column}" = {other}."{column}"' for column in columns)


# Parameters: the alert's columns in order, then the outbox state that a new alert starts in.
_STATE: Final = f"${len(COLUMNS) + 1}"
_IS_MORE_SEVERE: Final = "severity_rank({0}) < severity_rank(EXCLUDED.{1})"
# Written always, and by no worker of 0.1: by it the database tells whose row it is (migration 0006). May go in 0.3.
_JUDGED_COUNT: Final = "judged_count"
_COUNT_PARAMETER: Final = f"${COLUMNS.index('count') + 1}"
# What the rule saw when it raised the alert stays, also where the settings have changed since.
_KEPT: Final = ("threshold", "threshold_usd", "cooldown_seconds", "raised_offset")
_MORE_SEVERE_ROW: Final = _IS_MORE_SEVERE.format("present.alert_severity", "alert_severity")
_UPDATES: Final = ", ".join(
    [f'"{column}" = coalesce(present."{column}", EXCLUDED."{column}")' for column in _KEPT]
    + [
        f"severity_step = CASE WHEN {_MORE_SEVERE_ROW} THEN EXCLUDED.severity_step"
        " ELSE coalesce(present.severity_step, EXCLUDED.severity_step) END",
        # Where thresholds differ, nobody can say whether the first one would be reached now.
        "retracted = CASE WHEN present.threshold <> EXCLUDED.threshold THEN present.retracted"
        " ELSE EXCLUDED.retracted END",
        f"{_JUDGED_COUNT} = EXCLUDED.{_JUDGED_COUNT}",
        # A worker of an earlier release sends none: what is known stays.
        f"{COVERED_SINCE} = coalesce(EXCLUDED.{COVERED_SINCE}, present.{COVERED_SINCE})",
    ]
    + [
        f'"{column}" = EXCLUDED."{column}"'
        for column in COLUMNS
        if column not in {*IDENTITY, *_KEPT, "severity_step", "retracted", COVERED_SINCE}
    ]
)
_JUDGEMENT: Final = "({0}.alert_severity, {0}.measured, {0}.retracted)"
# Which of two rows is later: :func:`streams.model.alert.supersedes` in SQL.
_IS_LATER: Final = f"""
present.count < EXCLUDED.count
    OR (present.count = EXCLUDED.count AND present.measured IS NULL AND EXCLUDED.measured IS NOT NULL)
    OR (present.count = EXCLUDED.count AND present.source_offset < EXCLUDED.source_offset
        AND {_JUDGEMENT.format("present")} IS DISTINCT FROM {_JUDGEMENT.format("EXCLUDED")})
"""

_MORE_SEVERE_MESSAGE: Final = _IS_MORE_SEVERE.format("present.severity", "severity")
_EPISODE: Final = ("rule", "venue", "symbol", "episode")

# The outbox follows in the same statement, so that no crash can part a row from its message. A message that was sent is
# edited when it should say something else: a severity, what its episode reached, or a retraction. Earlier messages of
# the episode lose the severity of an alert that is retracted. They keep a higher one: another worker may have written
# it at the same moment, for a later alert.
RECORD: Final = f"""
WITH alert AS (
    INSERT INTO liquidation_alerts AS present ({_quoted(COLUMNS)}, {_JUDGED_COUNT})
    VALUES ({", ".join(f"${position}" for position in range(1, len(COLUMNS) + 1))}, {_COUNT_PARAMETER})
    ON CONFLICT ({_quoted(IDENTITY)}) DO UPDATE
    SET {_UPDATES},
        revision = present.revision + 1, updated_at = now()
    WHERE {_IS_LATER}
    RETURNING {_quoted(IDENTITY)}, episode, alert_severity, retracted, revision
), message AS (
    INSERT INTO alert_outbox AS present ({_quoted(IDENTITY)}, episode, state, severity, retracted)
    SELECT {_quoted(IDENTITY)}, episode, {_STATE}::text, alert_severity, retracted FROM alert
    ON CONFLICT ({_quoted(IDENTITY)}) DO UPDATE
    SET severity = EXCLUDED.severity,
        retracted = EXCLUDED.retracted,
        state = CASE
            WHEN present.state = 'sent' OR (present.state = 'unknown' AND {_MORE_SEVERE_MESSAGE}) THEN 'pending'
            ELSE present.state
        END,
        possible_duplicate = present.possible_duplicate OR (present.state = 'unknown' AND {_MORE_SEVERE_MESSAGE}),
        wanted_at = now(),
        updated_at = now()
    WHERE {_MORE_SEVERE_MESSAGE} OR present.retracted <> EXCLUDED.retracted
), reached AS (
    SELECT {_quoted(IDENTITY, "earlier")}, CASE
        WHEN NOT alert.retracted THEN alert.alert_severity
        ELSE (
            SELECT later.severity FROM alert_outbox AS later
            WHERE {_matches("later", "alert", _EPISODE)} AND NOT later.retracted
                AND later."timestamp" > earlier."timestamp" AND later."timestamp" <> alert."timestamp"
                AND severity_rank(later.severity) > severity_rank(earlier.severity)
            ORDER BY severity_rank(later.severity) DESC LIMIT 1
        ) END AS severity
    FROM alert JOIN alert_outbox AS earlier ON {_matches("earlier", "alert", _EPISODE)}
    WHERE earlier."timestamp" < alert."timestamp"
), earlier AS (
    UPDATE alert_outbox AS present
    SET escalated_to = reached.severity,
        state = CASE WHEN present.state = 'sent' THEN 'pending' ELSE present.state END,
        wanted_at = CASE WHEN present.state = 'sent' THEN now() ELSE present.wanted_at END,
        updated_at = now()
    FROM alert, reached
    WHERE {_matches("present", "reached")} AND present.escalated_to IS DISTINCT FROM reached.severity AND CASE
        WHEN alert.retracted THEN severity_rank(present.escalated_to) <= severity_rank(alert.alert_severity)
        ELSE severity_rank(coalesce(present.escalated_to, present.severity)) < severity_rank(alert.alert_severity)
        END
)
SELECT (SELECT revision FROM alert) AS revision
"""  # noqa: S608 - columns are constants, values are parameters

_READ: Final = f"""
SELECT {", ".join(f'present."{column}"' for column in COLUMNS)}, present.revision, present.recorded_at,
    present.updated_at, outbox.state AS delivery
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS wanted (rule, venue, symbol, "timestamp")
JOIN liquidation_alerts AS present USING ({_quoted(IDENTITY)})
LEFT JOIN alert_outbox AS outbox USING ({_quoted(IDENTITY)})
ORDER BY present."timestamp", present.venue, present.symbol, present.rule
"""  # noqa: S608 - columns are constants, values are parameters


class Recorder:
    """Writes alerts and, in the same statement, the messages they call for.

    ``deliver`` says whether a webhook is configured: without one a new alert's message is ``disabled`` from the start.
    ``wake`` is set whenever there may be something new to deliver. ``now`` returns unix seconds by the clock that
    counts.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        deliver: bool,
        wake: asyncio.Event | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._first_state = "pending" if deliver else "disabled"
        self._wake = wake
        self._now = now

    async def record(self, alert: Alert) -> RecordOutcome:
        """Bring the alert's row to these figures, unless it has later ones (:func:`streams.model.alert.supersedes`).

        Raises :class:`Outage` when Postgres does not answer. The row may be there then, and calling again is harmless.
        Raises :class:`BadRecord` for figures that no row can hold.
        """
        began = time.perf_counter()
        with answering("recording an alert"):
            revision = await self._pool.fetchval(RECORD, *to_row(alert), self._first_state)
        return self._outcome(alert, revision, time.perf_counter() - began)

    async def record_all(self, alerts: Sequence[Alert]) -> list[RecordOutcome]:
        """Do for each alert what :meth:`record` does, in their order, and commit once: all of them, or none.

        Raises what :meth:`record` raises; :class:`BadRecord` where no row can hold one of them.
        """
        if len(alerts) == 1:
            return [await self.record(alerts[0])]
        began = time.perf_counter()
        with answering("recording alerts"):
            rows = await not_deadlocked(partial(self._written, alerts))
        seconds = time.perf_counter() - began
        return [self._outcome(alert, row["revision"], seconds) for alert, row in zip(alerts, rows, strict=True)]

    async def _written(self, alerts: Sequence[Alert]) -> list[asyncpg.Record]:
        async with self._pool.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetchmany(
                RECORD, [(*to_row(alert), self._first_state) for alert in alerts]
            )
        return rows

    def _outcome(self, alert: Alert, revision: int | None, seconds: float) -> RecordOutcome:
        """Take note of what a statement did that took so long."""
        if revision is None:
            outcome = RecordOutcome.IGNORED
        elif revision == 1:
            outcome = RecordOutcome.INSERTED
            _row.took(seconds)
            _observe_latency(self._now() - alert.received_us / 1e6)
        else:
            outcome = RecordOutcome.SUPERSEDED
        metrics.alert_rows.labels(outcome.value).inc()
        if self._wake is not None and revision is not None:
            self._wake.set()
        return outcome


def _observe_latency(age_seconds: float) -> None:
    if 0 <= age_seconds < stages.HORIZON_SECONDS:
        metrics.event_to_row_seconds.observe(age_seconds)


async def alert_rows(pool: asyncpg.Pool, identities: Sequence[AlertId]) -> list[dict[str, Any]]:
    """Return the rows of these alerts by pane, as far as they exist.

    Keys are the columns of ``liquidation_alerts``, ``pane`` (unix seconds) and ``delivery`` (the outbox state). Amounts
    are :class:`~decimal.Decimal`, times are aware UTC datetimes. Raises :class:`Outage` when Postgres does not answer.
    """
    with answering("reading alerts"):
        rules, venues, symbols, panes = ([identity[part] for identity in identities] for part in range(4))
        rows = await pool.fetch(_READ, rules, venues, symbols, [instant(int(pane)) for pane in panes])
    return [{**row, "pane": unix_seconds(row["timestamp"])} for row in rows]
