"""A retracted alert on Discord: what was posted is edited, what was not is posted once, and both say so."""

import asyncio
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.delivery.message import TIMES_SIGN
from streams.model.alert import Alert
from tests.agents.alerts import release_before
from tests.agents.delivery.conftest import Running, eventually, rows, states, until
from tests.agents.factories import an_alert
from tests.discord_server import Behaviour, DiscordServer

NOTE = "**Retracted**"


def a_move(*, retracted: bool = False, **changes: Any) -> Alert:
    """Return a price move of 0.8 % against a threshold of 0.4 %, or one that late trades took back to 0.1 %."""
    return an_alert(
        rule="price_move",
        unit="percent",
        threshold=400_000_000,
        threshold_micro_usd=0,
        measured=100_000_000 if retracted else 800_000_000,
        price_change_pct=0.1 if retracted else 0.8,
        retracted=retracted,
        **changes,
    )


def notes(discord: DiscordServer) -> list[list[bool]]:
    """Return for each message whether its versions say that the alert was retracted, oldest first."""
    return [[NOTE in version["embeds"][0]["description"] for version in one.versions] for one in discord.messages]


async def test_a_retracted_alert_that_was_sent_is_edited(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Once; figures that change later change no message, and an alert that stands again loses the note."""
    async with running():
        await recorder.record(a_move(count=10))
        await until(pool, "sent")
        await recorder.record(a_move(count=11, retracted=True))
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
        await recorder.record(a_move(count=12, retracted=True))
        await until(pool, "sent")
        await recorder.record(a_move(count=13))
        await eventually(lambda: edited(discord, 3))
        await until(pool, "sent")
    assert notes(discord) == [[False, True, False]]
    assert [request.method for request in discord.requests] == ["POST", "PATCH", "PATCH"]
    assert [version["content"] for version in discord.messages[0].versions] == [
        f"**MEDIUM** BTC/USD: price moved {moved} % in 5 min, {times}{TIMES_SIGN} the threshold"
        for moved, times in (("+0.80", "2.0"), ("+0.10", "0.2"), ("+0.80", "2.0"))
    ]


async def edited(discord: DiscordServer, versions: int) -> bool:
    return len(discord.messages[0].versions) == versions


async def test_an_alert_retracted_before_it_was_posted_is_posted_once_with_the_note(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """It happened: whoever reads the row later finds its message."""
    await recorder.record(a_move(count=10))
    await recorder.record(a_move(count=11, retracted=True))
    async with running():
        await until(pool, "sent")
    assert notes(discord) == [[True]]
    assert len(discord.requests) == 1


async def test_an_alert_retracted_while_it_is_posted_is_edited_next(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Discord's answer comes after the retraction: the message says what was true when it was written, then more."""
    answer = asyncio.Event()
    discord.script.append(Behaviour(until=answer))
    await recorder.record(a_move(count=10))
    async with running():
        await until(pool, "sending")
        await recorder.record(a_move(count=11, retracted=True))
        answer.set()
        await until(pool, "sent")
    assert notes(discord) == [[False, True]]


@pytest.mark.parametrize("state", ["unknown", "dead", "disabled"])
async def test_a_retraction_revives_no_message(pool: asyncpg.Pool, recorder: Recorder, state: str) -> None:
    """What may be on Discord already is not worth a duplicate, and what is given up stays so."""
    await recorder.record(a_move(count=10))
    await pool.execute("UPDATE alert_outbox SET state = $1", state)
    await recorder.record(a_move(count=11, retracted=True))
    assert await states(pool) == [state]


async def test_an_alert_of_the_release_before_is_posted(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Its row has no new column; this release says its threshold, and edits the message when it is more severe."""
    await release_before.record(pool, an_alert(severity="LOW", count=10))
    async with running():
        await until(pool, "sent")
        await recorder.record(an_alert(severity="HIGH", count=11))
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
    said = [version["content"] for version in discord.messages[0].versions]
    assert said == [f"**{severity}** BTC/USD: {said[0].partition(': ')[2]}" for severity in ("LOW", "HIGH")]
    assert f"2.0{TIMES_SIGN} the threshold" in said[0]
    assert (await rows(pool))[0]["posted_severity"] == "HIGH"
