"""Rows that are written and messages that are claimed at the same moment may wait for each other: neither fails."""

import asyncio

import asyncpg

from agents.alerts.recorder import Recorder
from agents.delivery.outbox import Outbox
from streams.model.alert import Alert
from tests.agents.factories import PANE, an_alert

ALERTS = 40
TURNS = 6


async def test_a_digest_that_is_sent_while_its_alerts_grow(pool: asyncpg.Pool) -> None:
    """The one whose transaction Postgres undoes does it again."""
    recorder, box = Recorder(pool, deliver=True), Outbox(pool, "me")
    for turn in range(TURNS):

        def alerts(severity: str, count: int, offset: int, first: int = PANE + turn * 10**6) -> list[Alert]:
            return [
                an_alert(pane=first + 600 * at, severity=severity, count=count, offset=offset) for at in range(ALERTS)
            ]

        await recorder.record_all(alerts("LOW", 1, 1))
        digest = await box.claim(singles=0, together=ALERTS)
        assert digest is not None
        states, _ = await asyncio.gather(
            box.sent(digest, f"m{turn}"), recorder.record_all(alerts("HIGH", 9999, 99)[::-1])
        )
        assert len(states) == ALERTS
    held = await pool.fetchval("SELECT count(*) FROM alert_outbox WHERE state = 'sending'")
    assert held == 0
