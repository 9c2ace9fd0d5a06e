"""The outbox table: which message is whose to send, and what became of it. Every step is one committed statement."""

from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from agents.alerts.columns import COLUMNS, IDENTITY, from_row, instant
from agents.alerts.postgres import answering
from agents.delivery.base import Notice

# Who gets a second message when the first one's fate is unknown. The others are marked unknown instead.
RESENT_SEVERITIES: Final = ("HIGH", "CRITICAL")
# Bounds the duplicates of one alert: with the delays below, about a quarter of an hour of ambiguous answers.
MAX_AMBIGUOUS: Final = 20
# A service that comes back is noticed within a minute.
MAX_RESEND_DELAY_SECONDS: Final = 60


class Delivery(NamedTuple):
    """A message that this worker has committed itself to send.

    ``message_id`` is set where a posted message is to be edited. ``claimed_at`` tells this claim from any other of the
    same message.
    """

    notice: Notice
    message_id: str | None
    claimed_at: datetime


_IDENTITY: Final = ", ".join(f'"{column}"' for column in IDENTITY)

# Workers of 0.1 (commit 1a202df) send messages too while a group is upgraded. They cannot say that an alert is
# retracted, nor describe rules that they lack, and then mark the message as sent. Later releases edit such a message.
# An edit that was refused or given up has an error, and is left alone. May go in 0.3, with migration 0006.
_UNTOLD: Final = "(state = 'sent' AND last_error IS NULL AND posted_retracted IS DISTINCT FROM retracted)"

# The highest severity first: where the service's pace limits, what matters most is not behind what matters least.
# Edits come after new messages.
_CLAIM: Final = f"""
WITH next AS (
    SELECT {_IDENTITY} FROM alert_outbox
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
    RETURNING {", ".join(f'present."{column}"' for column in IDENTITY)}, present.severity, present.message_id,
        present.possible_duplicate, present.escalated_to, present.claimed_at
)
SELECT {", ".join(f'alert."{column}"' for column in COLUMNS)}, claimed.severity, claimed.message_id,
    claimed.possible_duplicate, claimed.escalated_to, claimed.claimed_at
FROM claimed JOIN liquidation_alerts AS alert USING ({_IDENTITY})
"""  # noqa: S608 - columns are constants, values are parameters

_OF_ALERT: Final = 'rule = $1 AND venue = $2 AND symbol = $3 AND "timestamp" = $4'
_IS_MY_CLAIM: Final = "state = 'sending' AND owner = $5 AND claimed_at = $6"
_END_CLAIM: Final = "owner = NULL, claimed_at = NULL, updated_at = now()"

# Whether the message should say something else by now than what was said under the claim.
_HAS_CHANGED: Final = "(severity <> $7 OR escalated_to IS DISTINCT FROM $8 OR retracted <> $9)"

# Another worker may have taken this claim for orphaned meanwhile. The message's id is still kept where nobody has sent
# the message since.
_SENT: Final = f"""
UPDATE alert_outbox
SET state = CASE WHEN {_HAS_CHANGED} THEN 'pending' ELSE 'sent' END,
    message_id = $10, posted_severity = $7, posted_escalation = $8, posted_retracted = $9, last_error = NULL,
    {_END_CLAIM}
WHERE {_OF_ALERT} AND (({_IS_MY_CLAIM}) OR (state IN ('pending', 'unknown') AND message_id IS NULL))
RETURNING state
"""  # noqa: S608 - constants

_RELEASE: Final = f"""
UPDATE alert_outbox SET state = 'pending', last_error = $7, {_END_CLAIM}
WHERE {_OF_ALERT} AND {_IS_MY_CLAIM}
RETURNING state
"""  # noqa: S608 - constants

# What was posted before stays posted, whatever becomes of its edit. An edit that says something else may be taken.
_GIVE_UP: Final = f"""
UPDATE alert_outbox
SET state = CASE WHEN message_id IS NULL THEN 'dead' WHEN {_HAS_CHANGED} THEN 'pending' ELSE 'sent' END,
    last_error = $10, {_END_CLAIM}
WHERE {_OF_ALERT} AND {_IS_MY_CLAIM}
RETURNING state
"""  # noqa: S608 - constants

_GIVE_UP_WAITING: Final = """
UPDATE alert_outbox
SET state = CASE WHEN message_id IS NULL THEN 'dead' ELSE 'sent' END, last_error = $1, updated_at = now()
WHERE state = 'pending'
RETURNING state
"""

# An edit is simply tried again: editing twice does no harm. A post may be there already.
_AMBIGUOUS: Final = f"""
SET ambiguous = ambiguous + 1,
    state = CASE
        WHEN ambiguous + 1 >= {MAX_AMBIGUOUS} THEN CASE WHEN message_id IS NULL THEN 'unknown' ELSE 'sent' END
        WHEN message_id IS NOT NULL OR severity IN {RESENT_SEVERITIES} THEN 'pending'
        ELSE 'unknown'
    END,
    possible_duplicate = possible_duplicate OR message_id IS NULL,
    not_before = now() + least({MAX_RESEND_DELAY_SECONDS}, power(2, ambiguous)) * interval '1 second',
    {_END_CLAIM}
"""

_UNCONFIRMED: Final = (
    f"UPDATE alert_outbox {_AMBIGUOUS}, last_error = $7 WHERE {_OF_ALERT} AND {_IS_MY_CLAIM} RETURNING state"
)

_ORPHANS: Final = f"""
UPDATE alert_outbox {_AMBIGUOUS}, last_error = 'the worker that was sending it went away'
WHERE state = 'sending' AND claimed_at < now() - make_interval(secs => $1)
RETURNING state
"""

_AGE: Final = f"""
SELECT coalesce(extract(epoch FROM now() - min(wanted_at)), 0)::double precision
FROM alert_outbox WHERE state IN ('pending', 'sending') OR {_UNTOLD}
"""  # noqa: S608 - constants


class Outbox:
    """The outbox as one worker sees it; ``owner`` names the worker in its claims.

    Every method raises :class:`Outage` when Postgres does not answer. Those that end a claim return the state that the
    message is in now, or ``None`` where the claim was no longer this worker's.
    """

    def __init__(self, pool: asyncpg.Pool, owner: str) -> None:
        self._pool = pool
        self._owner = owner

    async def claim(self) -> Delivery | None:
        """Commit to sending the next message, and return it; ``None`` where there is none to send now."""
        with answering("claiming a message"):
            row = await self._pool.fetchrow(_CLAIM, self._owner)
            if row is None:
                return None
            alert = msgspec.structs.replace(from_row(row), severity=row["severity"])
            notice = Notice(alert, row["escalated_to"], row["possible_duplicate"])
            return Delivery(notice, row["message_id"], row["claimed_at"])

    async def sent(self, delivery: Delivery, message_id: str) -> str | None:
        """Record that the service has the message; it is pending again if it should say something else by now."""
        return await self._end(_SENT, delivery, *_said(delivery), message_id)

    async def release(self, delivery: Delivery, error: str) -> str | None:
        """Give the message back: the service certainly does not have it."""
        return await self._end(_RELEASE, delivery, error)

    async def unconfirmed(self, delivery: Delivery, error: str) -> str | None:
        """Record that nobody knows whether the service has the message: it is to be sent again, or unknown."""
        return await self._end(_UNCONFIRMED, delivery, error)

    async def give_up(self, delivery: Delivery, error: str) -> str | None:
        """Record that the message will never be delivered."""
        return await self._end(_GIVE_UP, delivery, *_said(delivery), error)

    async def give_up_waiting(self, error: str) -> int:
        """Record that no waiting message will ever be delivered, and return how many were never posted."""
        with answering("giving messages up"):
            states = await self._pool.fetch(_GIVE_UP_WAITING, error)
        return sum(row["state"] == "dead" for row in states)

    async def take_orphans(self, older_than_seconds: float) -> list[str]:
        """Treat claims of workers that went away as ambiguous; return the states those messages are in now."""
        with answering("looking for orphaned messages"):
            rows = await self._pool.fetch(_ORPHANS, older_than_seconds)
        return [row["state"] for row in rows]

    async def age_seconds(self) -> float:
        """Return for how long the oldest undelivered message has been wanted, 0 if there is none."""
        with answering("reading the outbox's age"):
            return float(await self._pool.fetchval(_AGE))

    async def _end(self, statement: str, delivery: Delivery, *arguments: Any) -> str | None:
        alert = delivery.notice.alert
        with answering("ending a claim"):
            state = await self._pool.fetchval(
                statement,
                alert.rule,
                alert.venue,
                alert.symbol,
                instant(alert.pane),
                self._owner,
                delivery.claimed_at,
                *arguments,
            )
        return None if state is None else str(state)


def _said(delivery: Delivery) -> tuple[str, str | None, bool]:
    notice = delivery.notice
    return notice.alert.severity, notice.escalated_to, notice.alert.retracted
