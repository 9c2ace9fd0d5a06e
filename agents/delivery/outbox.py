"""The outbox table: which message is whose to send, and what became of it. Every step is one committed statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from agents.alerts.columns import from_row, instant, unix_seconds
from agents.alerts.postgres import answering, not_deadlocked
from agents.delivery import claims
from agents.delivery.base import Backlog, Notice

ALONE: Final = 1 << 30
"""So many messages may wait before alerts share one: more than ever wait."""


class Part(NamedTuple):
    """What a message says of one alert. ``claimed_at`` tells this claim from any other of the same alert."""

    notice: Notice
    claimed_at: datetime


class Delivery(NamedTuple):
    """A message that this worker has committed itself to send.

    ``parts`` are the alerts claimed. ``notices`` is all that the message says, the highest severity first. Beside the
    parts it has alerts of the digest that are told elsewhere too. ``message_id`` is set where a posted message is to be
    edited, ``backlog`` where one is to be posted.
    """

    parts: tuple[Part, ...]
    notices: tuple[Notice, ...]
    message_id: str | None
    backlog: Backlog | None = None


class Outbox:
    """The outbox as one worker sees it; ``owner`` names the worker in its claims.

    Every method raises :class:`Outage` when Postgres does not answer. Those that end a claim return the states that its
    alerts are in now. An alert whose claim was no longer this worker's is missing from them.
    """

    def __init__(self, pool: asyncpg.Pool, owner: str) -> None:
        self._pool = pool
        self._owner = owner

    async def claim(self, *, singles: int = ALONE, together: int = 1) -> Delivery | None:
        """Commit to sending the next message, and return it; ``None`` where there is none to send now.

        Where more than ``singles`` wait to be posted, up to ``together`` alerts share a message. Edits come after new
        messages.
        """
        with answering("claiming a message"):
            rows = await self._pool.fetch(claims.CLAIM_POST, self._owner, singles, together)
            if not rows:
                rows = await self._pool.fetch(claims.CLAIM_EDIT, self._owner)
        return _delivery(rows) if rows else None

    async def sent(self, delivery: Delivery, message_id: str) -> list[str]:
        """Record that the service has the message; an alert is pending again if it should say something else by now."""
        is_digest = delivery.message_id is None and len(delivery.parts) > 1
        return await self._end(claims.SENT, delivery, *_said(delivery), message_id, is_digest)

    async def release(self, delivery: Delivery, error: str) -> list[str]:
        """Give the message back: the service certainly does not have it."""
        return await self._end(claims.RELEASE, delivery, error)

    async def unconfirmed(self, delivery: Delivery, error: str) -> list[str]:
        """Record that nobody knows whether the service has the message: each alert is to be sent again, or unknown."""
        return await self._end(claims.UNCONFIRMED, delivery, error)

    async def give_up(self, delivery: Delivery, error: str) -> list[str]:
        """Record that the message will never be delivered."""
        return await self._end(claims.GIVE_UP, delivery, *_said(delivery), error)

    async def give_up_waiting(self, error: str) -> int:
        """Record that no waiting message will ever be delivered, and return how many were never posted."""
        with answering("giving messages up"):
            states = await self._pool.fetch(claims.GIVE_UP_WAITING, error)
        return sum(row["state"] == "dead" for row in states)

    async def take_orphans(self, older_than_seconds: float) -> list[str]:
        """Treat claims of workers that went away as ambiguous; return the states those messages are in now."""
        with answering("looking for orphaned messages"):
            rows = await self._pool.fetch(claims.ORPHANS, older_than_seconds)
        return [row["state"] for row in rows]

    async def age_seconds(self) -> float:
        """Return for how long the oldest undelivered message has been wanted, 0 if there is none."""
        with answering("reading the outbox's age"):
            return float(await self._pool.fetchval(claims.AGE))

    async def _end(self, statement: str, delivery: Delivery, *arguments: Any) -> list[str]:
        alerts = [part.notice.alert for part in delivery.parts]
        with answering("ending a claim"):
            rows = await not_deadlocked(
                lambda: self._pool.fetch(
                    statement,
                    [alert.rule for alert in alerts],
                    [alert.venue for alert in alerts],
                    [alert.symbol for alert in alerts],
                    [instant(alert.pane) for alert in alerts],
                    self._owner,
                    [part.claimed_at for part in delivery.parts],
                    *arguments,
                )
            )
        return [row["state"] for row in rows]


def _delivery(rows: Sequence[asyncpg.Record]) -> Delivery:
    notices = tuple(_notice(row) for row in rows)
    claimed = [(notice, row["claimed_at"]) for notice, row in zip(notices, rows, strict=True)]
    parts = tuple(Part(notice, at) for notice, at in claimed if at is not None)
    first = rows[0]
    if first["message_id"] is not None:
        return Delivery(parts, notices, first["message_id"])
    return Delivery(parts, notices, None, Backlog(first["waiting"], max(row["waited_seconds"] for row in rows)))


def _notice(row: asyncpg.Record) -> Notice:
    alert = msgspec.structs.replace(from_row(row), severity=row["severity"])
    return Notice(alert, row["escalated_to"], row["possible_duplicate"], unix_seconds(row["created_at"]))


def _said(delivery: Delivery) -> tuple[list[str], list[str | None], list[bool]]:
    notices = [part.notice for part in delivery.parts]
    return (
        [notice.alert.severity for notice in notices],
        [notice.escalated_to for notice in notices],
        [notice.alert.retracted for notice in notices],
    )
