"""How the release before (commit bca4cd5) claims a message and notes that it was sent: its statements.

During a rolling upgrade its workers go on sending beside those of this release. They know no message of several alerts.
"""

from typing import Any, Final

import asyncpg

_KEY: Final = 'rule, venue, symbol, "timestamp"'
_UNTOLD: Final = "(state = 'sent' AND last_error IS NULL AND posted_retracted IS DISTINCT FROM retracted)"
_CLAIM: Final = f"""
WITH next AS (
    SELECT {_KEY} FROM alert_outbox
    WHERE (state = 'pending' OR {_UNTOLD}) AND not_before <= now()
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
    RETURNING present.*
)
SELECT claimed.* FROM claimed JOIN liquidation_alerts AS alert USING ({_KEY})
"""
_SENT: Final = """
UPDATE alert_outbox
SET state = CASE
        WHEN severity <> $7 OR escalated_to IS DISTINCT FROM $8 OR retracted <> $9 THEN 'pending' ELSE 'sent' END,
    message_id = $10, posted_severity = $7, posted_escalation = $8, posted_retracted = $9, last_error = NULL,
    owner = NULL, claimed_at = NULL, updated_at = now()
WHERE rule = $1 AND venue = $2 AND symbol = $3 AND "timestamp" = $4
    AND ((state = 'sending' AND owner = $5 AND claimed_at = $6)
        OR (state IN ('pending', 'unknown') AND message_id IS NULL))
RETURNING state
"""
OWNER: Final = "a worker of the release before"


async def claim(pool: asyncpg.Pool) -> asyncpg.Record | None:
    """Claim the next message as that release does; None where there is none."""
    row: asyncpg.Record | None = await pool.fetchrow(_CLAIM, OWNER)
    return row


async def sent(pool: asyncpg.Pool, claimed: asyncpg.Record, message_id: str) -> Any:
    """End a claim as that release does; return the message's state."""
    values = [claimed[column] for column in ("rule", "venue", "symbol", "timestamp")]
    said = [claimed[column] for column in ("severity", "escalated_to", "retracted")]
    return await pool.fetchval(_SENT, *values, OWNER, claimed["claimed_at"], *said, message_id)
