"""A retracted alert on Discord: what was posted is edited, what was not is posted once, and both say so."""

import asyncio
import re
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.alerts.words import TIMES_SIGN
from agents.delivery.base import Notice
from agents.delivery.discord import Discord
from agents.delivery.outbox import Outbox
from tests.agents.alerts import release_0_1
from tests.agents.delivery.conftest import Running, eventually, rows, states, until
from tests.agents.factories import PANE, a_move, an_alert
from tests.discord_server import Behaviour, DiscordServer

NOTE = "**Retracted**"


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
        f"**MEDIUM** BTC/USD: price moved {moved} % in 5 min, {times}{TIMES_SIGN} the threshold{state}"
        for moved, times, state in (("+0.80", "2.0", ""), ("+0.10", "0.2", " (retracted)"), ("+0.80", "2.0", ""))
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


async def test_a_retraction_that_0_1_left_untold_is_told(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Its worker held the message when the retraction came, and took it for sent as it was."""
    await recorder.record(a_move(count=10))
    claimed = await release_0_1.claim(pool)
    assert claimed is not None
    posted = await posted_by_0_1(discord)
    await recorder.record(a_move(count=11, retracted=True))
    assert await release_0_1.sent(pool, claimed, posted) == "sent"
    assert await release_0_1.claim(pool) is None
    async with running():
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
    assert notes(discord) == [[False, True]]
    assert (await rows(pool))[0]["posted_retracted"] is True
    assert len(discord.requests) == 2


async def test_a_note_that_0_1_has_edited_away_comes_back(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Its edit for a higher severity knows of no retraction."""
    await recorder.record(a_move(count=10, severity="LOW"))
    await recorder.record(a_move(count=11, severity="LOW", retracted=True))
    async with running():
        await until(pool, "sent")
    assert notes(discord) == [[True]]
    await recorder.record(a_move(count=12, severity="HIGH", retracted=True))
    claimed = await release_0_1.claim(pool)
    assert claimed is not None
    assert await release_0_1.sent(pool, claimed, claimed["message_id"]) == "sent"
    async with running():
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
    assert notes(discord) == [[True, True]]


@pytest.mark.parametrize("unit", ["percent", "count", "usd"])
async def test_a_rule_that_0_1_cannot_describe_is_described(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, unit: str
) -> None:
    """Whatever its unit: 0.1 called it traded volume. What 0.1 says of its own two rules is left alone."""
    await recorder.record(a_move(count=10, rule="price_move" if unit == "percent" else "spread", unit=unit))
    await recorder.record(an_alert(pane=PANE + 1))
    for _ in range(2):
        claimed = await release_0_1.claim(pool)
        assert claimed is not None
        posted = await posted_by_0_1(discord)
        assert await release_0_1.sent(pool, claimed, posted) == "sent"
    async with running():
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent", "sent")
    assert [len(one.versions) for one in discord.messages] == [2, 1]


async def test_an_untold_retraction_is_undelivered(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Whoever watches the age of the outbox sees that something is still to be told."""
    await recorder.record(a_move(count=10))
    await recorder.record(a_move(count=11, retracted=True))
    await pool.execute("UPDATE alert_outbox SET state = 'sent', wanted_at = now() - interval '90 seconds'")
    assert 90 <= await Outbox(pool, "me").age_seconds() < 100


async def posted_by_0_1(discord: DiscordServer) -> str:
    """Post a message that says nothing of a retraction, and return its id."""
    client = Discord(discord.webhook, api_base=discord.base)
    try:
        return await client.post(Notice(a_move()))
    finally:
        await client.close()


async def test_a_retraction_that_discord_refuses_is_not_tried_for_ever(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The posted message stays as it was, and the row says why."""
    await recorder.record(a_move(count=10))
    async with running():
        await until(pool, "sent")
        discord.script.append(Behaviour(status=400))
        await recorder.record(a_move(count=11, retracted=True))
        await discord.until(lambda: len(discord.requests) == 2)
        await until(pool, "sent")
        await recorder.record(an_alert(pane=PANE + 1))
        await until(pool, "sent", "sent")
    assert [request.method for request in discord.requests] == ["POST", "PATCH", "POST"]
    assert "400" in (await rows(pool))[0]["last_error"]


async def test_a_retraction_that_comes_while_an_edit_is_refused_is_told(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """What was refused said less: another edit may be taken."""
    answer = asyncio.Event()
    await recorder.record(a_move(count=10, severity="LOW"))
    async with running():
        await until(pool, "sent")
        discord.script.append(Behaviour(status=400, until=answer))
        await recorder.record(a_move(count=11, severity="HIGH"))
        await until(pool, "sending")
        await recorder.record(a_move(count=12, severity="HIGH", retracted=True))
        answer.set()
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
    assert notes(discord) == [[False, True]]


def escalations(discord: DiscordServer) -> list[list[str | None]]:
    """Return for each message which severity its versions say that the episode reached, oldest first."""
    found = [
        [re.search(r"Escalated to (\w+)", version["embeds"][0]["description"]) for version in one.versions]
        for one in discord.messages
    ]
    return [[match and match[1] for match in versions] for versions in found]


async def test_what_a_retracted_alert_had_escalated_is_taken_back(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Earlier messages of the episode name the highest severity that still stands; it comes back with the alert."""
    steps = (("LOW", 0), ("MEDIUM", 60), ("HIGH", 120))
    alerts: list[dict[str, Any]] = [{"severity": name, "pane": PANE + at, "episode": PANE} for name, at in steps]
    first, second, third = alerts

    async def settled(*versions: int) -> None:
        await eventually(lambda: shows(discord, *versions))
        await until(pool, *["sent"] * len(versions))

    async with running():
        await recorder.record(a_move(**first))
        await settled(1)
        await recorder.record(a_move(**second))
        await settled(2, 1)
        await recorder.record(a_move(**third))
        await settled(3, 2, 1)
        await recorder.record(a_move(**third, count=500, retracted=True))
        await settled(4, 3, 2)
        await recorder.record(a_move(**third, count=501, retracted=True))
        await recorder.record(a_move(**second, count=500, retracted=True))
        await settled(5, 4, 2)
        await recorder.record(a_move(**third, count=502))
        await settled(6, 5, 3)
    assert escalations(discord) == [
        [None, "MEDIUM", "HIGH", "MEDIUM", None, "HIGH"],
        [None, "HIGH", None, None, "HIGH"],
        [None, None, None],
    ]


async def test_a_retracted_alert_gives_no_higher_severity_back(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """A later alert of the episode still stands."""
    for severity, at in (("LOW", 0), ("MEDIUM", 60), ("HIGH", 120)):
        await recorder.record(a_move(severity=severity, pane=PANE + at, episode=PANE))
    await recorder.record(a_move(severity="MEDIUM", pane=PANE + 60, episode=PANE, count=500, retracted=True))
    assert [row["escalated_to"] for row in await rows(pool)] == ["HIGH", "HIGH", None]


async def shows(discord: DiscordServer, *versions: int) -> bool:
    return tuple(len(one.versions) for one in discord.messages) == versions


async def test_an_alert_of_0_1_is_posted(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Its row has no new column; this release says its threshold, and edits the message when it is more severe."""
    await release_0_1.record(pool, an_alert(severity="LOW", count=10))
    async with running():
        await until(pool, "sent")
        await recorder.record(an_alert(severity="HIGH", count=11))
        await eventually(lambda: edited(discord, 2))
        await until(pool, "sent")
    said = [version["content"] for version in discord.messages[0].versions]
    assert said == [f"**{severity}** BTC/USD: {said[0].partition(': ')[2]}" for severity in ("LOW", "HIGH")]
    assert f"2.0{TIMES_SIGN} the threshold" in said[0]
    assert (await rows(pool))[0]["posted_severity"] == "HIGH"
