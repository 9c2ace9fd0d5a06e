"""What 0.1 (commit 1a202df) writes: its statements, on a database that may be migrated further.

During a rolling upgrade its workers go on writing beside those of this release.
"""

from typing import Any, Final

import asyncpg

from agents.alerts import columns
from streams.model.alert import Alert

MIGRATIONS: Final = 4
"""So many migrations it had."""

COLUMNS: Final = (
    "timestamp", "window_start", "window_end", "episode",
    "total_volume_usd", "largest_trade_usd", "threshold_usd", "liquidation_volume_usd", "liquidation_long_usd",
    "liquidation_short_usd", "buy_volume_usd", "sell_volume_usd",
    "vwap", "price_change_pct", "alert_severity", "rule", "venue", "symbol", "window_seconds", "realized_volatility",
    "count", "first_price", "last_price", "high", "low", "source_partition", "source_offset",
)  # fmt: skip
_IDENTITY: Final = ("rule", "venue", "symbol", "timestamp")
_NAMES: Final = ", ".join(f'"{column}"' for column in COLUMNS)
_KEY: Final = ", ".join(f'"{column}"' for column in _IDENTITY)
_UPDATES: Final = ", ".join(f'"{column}" = EXCLUDED."{column}"' for column in COLUMNS if column not in _IDENTITY)

_RECORD: Final = f"""
WITH alert AS (
    INSERT INTO liquidation_alerts AS present ({_NAMES})
    VALUES ({", ".join(f"${position}" for position in range(1, len(COLUMNS) + 1))})
    ON CONFLICT ({_KEY}) DO UPDATE
    SET {_UPDATES}, revision = present.revision + 1, updated_at = now()
    WHERE present.count < EXCLUDED.count
    RETURNING {_KEY}, episode, alert_severity, revision
), message AS (
    INSERT INTO alert_outbox AS present ({_KEY}, episode, state, severity)
    SELECT {_KEY}, episode, ${len(COLUMNS) + 1}::text, alert_severity FROM alert
    ON CONFLICT ({_KEY}) DO UPDATE
    SET severity = EXCLUDED.severity,
        state = CASE WHEN present.state IN ('sent', 'unknown') THEN 'pending' ELSE present.state END,
        possible_duplicate = present.possible_duplicate OR present.state = 'unknown',
        wanted_at = now(),
        updated_at = now()
    WHERE severity_rank(present.severity) < severity_rank(EXCLUDED.severity)
), earlier AS (
    UPDATE alert_outbox AS present
    SET escalated_to = alert.alert_severity,
        state = CASE WHEN present.state = 'sent' THEN 'pending' ELSE present.state END,
        wanted_at = CASE WHEN present.state = 'sent' THEN now() ELSE present.wanted_at END,
        updated_at = now()
    FROM alert
    WHERE present.rule = alert.rule AND present.venue = alert.venue AND present.symbol = alert.symbol
        AND present.episode = alert.episode AND present."timestamp" < alert."timestamp"
        AND severity_rank(coalesce(present.escalated_to, present.severity)) < severity_rank(alert.alert_severity)
)
SELECT revision FROM alert
"""

_CLAIM: Final = f"""
WITH next AS (
    SELECT {_KEY} FROM alert_outbox
    WHERE state = 'pending' AND not_before <= now()
    ORDER BY message_id IS NOT NULL, severity_rank(severity) DESC, "timestamp"
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE alert_outbox AS present
    SET state = 'sending', owner = $1, claimed_at = clock_timestamp(), attempts = present.attempts + 1,
        updated_at = now()
    FROM next
    WHERE present.rule = next.rule AND present.venue = next.venue AND present.symbol = next.symbol
        AND present."timestamp" = next."timestamp"
    RETURNING {", ".join(f'present."{column}"' for column in _IDENTITY)}, present.severity, present.message_id,
        present.possible_duplicate, present.escalated_to, present.claimed_at
)
SELECT {", ".join(f'alert."{column}"' for column in COLUMNS)}, claimed.severity, claimed.message_id,
    claimed.possible_duplicate, claimed.escalated_to, claimed.claimed_at
FROM claimed JOIN liquidation_alerts AS alert USING ({_KEY})
"""

_SENT: Final = """
UPDATE alert_outbox
SET state = CASE WHEN severity <> $8 OR escalated_to IS DISTINCT FROM $9 THEN 'pending' ELSE 'sent' END,
    message_id = $7, posted_severity = $8, posted_escalation = $9, last_error = NULL,
    owner = NULL, claimed_at = NULL, updated_at = now()
WHERE rule = $1 AND venue = $2 AND symbol = $3 AND "timestamp" = $4
    AND ((state = 'sending' AND owner = $5 AND claimed_at = $6)
        OR (state IN ('pending', 'unknown') AND message_id IS NULL))
RETURNING state
"""
OWNER: Final = "a worker of 0.1"


async def record(pool: asyncpg.Pool, alert: Alert, state: str = "pending") -> int | None:
    """Record an alert as that release does; return the row's revision, or None where the row stays as it is."""
    values = dict(zip(columns.COLUMNS, columns.to_row(alert), strict=True))
    revision: int | None = await pool.fetchval(_RECORD, *(values[column] for column in COLUMNS), state)
    return revision


async def claim(pool: asyncpg.Pool) -> asyncpg.Record | None:
    """Claim the next message as that release does; None where there is none."""
    row: asyncpg.Record | None = await pool.fetchrow(_CLAIM, OWNER)
    return row


async def sent(pool: asyncpg.Pool, claimed: asyncpg.Record, message_id: str) -> Any:
    """End a claim as that release does; return the message's state."""
    values = (*(claimed[column] for column in _IDENTITY), OWNER, claimed["claimed_at"], message_id)
    return await pool.fetchval(_SENT, *values, claimed["severity"], claimed["escalated_to"])
