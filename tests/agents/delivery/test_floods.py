"""More alerts than Discord's pace: they share messages, and each keeps what is promised of a message of its own."""

import asyncio
import logging
from typing import Any

import asyncpg
import pytest

from agents.alerts.columns import instant
from agents.alerts.recorder import Recorder
from agents.alerts.words import identity
from agents.delivery import claims
from agents.delivery.outbox import Outbox
from streams.severities import SEVERITIES
from tests.agents.alerts import release_0_1
from tests.agents.delivery import release_before
from tests.agents.delivery.conftest import Running, eventually, rows, states, until
from tests.agents.factories import PANE, a_move, an_alert
from tests.discord_server import Behaviour, DiscordServer, StoredMessage, accepted_then_dropped, faults_of, rate_limited

FLOOD = 1000
LATER = PANE + 10_000


@pytest.fixture(autouse=True)
def _prompt_resends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resend after an ambiguous outcome at once instead of after a second and more."""
    for name in ("UNCONFIRMED", "ORPHANS"):
        statement = getattr(claims, name)
        monkeypatch.setattr(claims, name, statement.replace("interval '1 second'", "interval '1 millisecond'"))


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a service take no message of its own for an alert where two wait."""
    monkeypatch.setattr("agents.delivery.discord.Discord.posts_a_minute", 1)


async def flood(pool: asyncpg.Pool, recorder: Recorder, alerts: int, *, of: tuple[str, ...] = SEVERITIES) -> None:
    """Record so many alerts of a market, a second each, of these severities in turn."""
    await recorder.record(an_alert(severity=of[0]))
    for table in ("liquidation_alerts", "alert_outbox"):
        found = await pool.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
        values = {row["column_name"]: f'"{row["column_name"]}"' for row in found}
        names = ", ".join(values.values())
        for column in ("timestamp", "episode"):
            values[column] += " + number * interval '1 second'"
        severity = "alert_severity" if table == "liquidation_alerts" else "severity"
        values[severity] = "($2::text[])[1 + number % cardinality($2::text[])]"
        await pool.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values.values())}"
            f" FROM {table}, generate_series(1, $1::integer - 1) AS number",
            alerts,
            list(of),
        )


def told(discord: DiscordServer) -> list[str]:
    """Return every alert that Discord shows, in the order of messages and embeds."""
    return [name for message in discord.messages for name in message.identities]


def name_of(second: int) -> str:
    """Return the identity of the alert of a second of the flood."""
    return identity(an_alert(pane=PANE + second))


async def settled(pool: asyncpg.Pool) -> bool:
    """Whether nothing is left to be told."""
    return not {"pending", "sending"} & set(await states(pool))


async def test_a_flood_is_told_in_a_tenth_of_the_messages(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A thousand alerts at once: each is shown once, the highest severity first, in messages that Discord takes."""
    await flood(pool, recorder, FLOOD)
    async with running():
        await until(pool, *["sent"] * FLOOD)
    assert sorted(told(discord)) == sorted(name_of(second) for second in range(FLOOD))
    assert len(discord.requests) == len(discord.messages) == FLOOD / 10
    assert [faults_of(message.body) for message in discord.messages if faults_of(message.body)] == []
    ranks = [
        SEVERITIES.index(embed["title"].split()[1]) for message in discord.messages for embed in message.body["embeds"]
    ]
    assert ranks == sorted(ranks, reverse=True)
    first = discord.messages[0].body
    assert first["content"].startswith("**10 alerts**: 10 CRITICAL · the oldest is ")
    assert "990 more wait" in first["content"]
    assert all("raised <t:" in embed["description"] for embed in first["embeds"])
    found = {row["message_id"] for row in await rows(pool)}
    assert found == {message.message_id for message in discord.messages}


async def test_a_flood_keeps_to_the_pace_that_discord_names(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Five requests in a while, as its headers say: no message is refused or told twice."""
    discord.limit, discord._left, discord.per_seconds = 5, 5, 0.2
    await flood(pool, recorder, 150)
    async with running():
        await until(pool, *["sent"] * 150)
    assert sorted(told(discord)) == sorted(name_of(second) for second in range(150))
    # The last ten are told one by one: by then no more wait than the minute has room for.
    assert (len(discord.requests), discord.limited) == (14 + 10, 0)


async def test_workers_share_a_flood(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Four of them tell each alert once."""
    await flood(pool, recorder, 200)
    async with running(), running(), running(), running():
        await until(pool, *["sent"] * 200)
    assert sorted(told(discord)) == sorted(name_of(second) for second in range(200))
    assert len(discord.messages) < 60


async def test_what_the_pace_allows_is_told_one_by_one(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Thirty alerts are thirty messages with all their figures; what comes next in the minute shares messages."""
    await flood(pool, recorder, 30)
    async with running():
        await until(pool, *["sent"] * 30)
        assert [len(message.identities) for message in discord.messages] == [1] * 30
        for second in range(3):
            await recorder.record(an_alert(pane=LATER + second))
        await until(pool, *["sent"] * 33)
    assert len(told(discord)) == 33


async def test_alerts_share_messages_after_discord_asked_to_slow_down(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Others post to the channel too, or its limit is lower than what is usual."""
    discord.script.append(rate_limited(0.05))
    await flood(pool, recorder, 9)
    async with running():
        await until(pool, *["sent"] * 9)
    assert [len(message.identities) for message in discord.messages] == [9]


@pytest.mark.usefixtures("_slow")
async def test_a_change_edits_the_digest_and_keeps_the_others(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A severity that rises, an episode that escalates and a retraction; several at once are one edit."""
    for second in range(4):
        await recorder.record(a_move(severity="LOW", pane=PANE + second, episode=PANE + second))
    names = [identity(a_move(pane=PANE + second)) for second in range(4)]
    async with running():
        await until(pool, *["sent"] * 4)
        (message,) = discord.messages
        before = {name: message.embed_of(name) for name in names}
        await recorder.record(a_move(severity="CRITICAL", pane=PANE + 2, episode=PANE + 2, count=500))
        await discord.until(lambda: len(message.versions) == 2)
        await until(pool, *["sent"] * 4)
        assert sorted(message.identities) == sorted(names)
        assert message.identities[0] == names[2]
        assert "CRITICAL" in message.embed_of(names[2])["title"]
        for name in (names[0], names[1], names[3]):
            assert message.embed_of(name) == before[name]
        await recorder.record(a_move(pane=PANE + 1, episode=PANE + 1, severity="LOW", count=500, retracted=True))
        await eventually(lambda: shows(message, names[1], "Retracted"))
        await recorder.record(a_move(severity="HIGH", pane=LATER, episode=PANE + 3))
        await eventually(lambda: shows(message, names[3], "Escalated to HIGH"))
        await until(pool, *["sent"] * 5)
    assert sorted(message.identities) == sorted(names)
    assert len(discord.messages) == 2


async def shows(message: StoredMessage, name: str, text: str) -> bool:
    """Whether a message says this of an alert by now."""
    return text in message.embed_of(name)["description"]


@pytest.mark.usefixtures("_slow")
async def test_a_change_while_the_digest_is_posted_is_told_next(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """An update between claim and answer is not lost, nor is the rest of the message."""
    answer = asyncio.Event()
    discord.script.append(Behaviour(until=answer))
    await flood(pool, recorder, 3, of=("LOW",))
    async with running():
        await until(pool, *["sending"] * 3)
        await recorder.record(an_alert(severity="HIGH", pane=PANE + 1, count=500))
        answer.set()
        await discord.until(lambda: discord.messages and len(discord.messages[0].versions) == 2)
        await until(pool, *["sent"] * 3)
    (message,) = discord.messages
    assert sorted(message.identities) == sorted(name_of(second) for second in range(3))
    assert "HIGH" in message.embed_of(name_of(1))["title"]


@pytest.mark.usefixtures("_slow")
async def test_many_workers_edit_a_digest_in_turn(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The last version says all that changed, whoever told it."""
    await flood(pool, recorder, 10, of=("LOW",))
    async with running(), running(), running(), running():
        await until(pool, *["sent"] * 10)
        for severity in ("MEDIUM", "HIGH", "CRITICAL"):
            changed = [
                an_alert(severity=severity, pane=PANE + second, count=500 + SEVERITIES.index(severity))
                for second in range(10)
            ]
            await asyncio.gather(*(recorder.record(alert) for alert in changed))
        await eventually(lambda: settled(pool))
    assert len(set(told(discord))) == 10
    for message in discord.messages:
        assert all("CRITICAL" in embed["title"] for embed in message.body["embeds"])


@pytest.mark.usefixtures("_slow")
async def test_a_digest_in_doubt_leaves_each_alert_as_alone(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Grave ones are sent again and marked, the others are unknown."""
    discord.script.append(accepted_then_dropped())
    await flood(pool, recorder, 4, of=("LOW", "HIGH"))
    async with running():
        await until(pool, "unknown", "sent", "unknown", "sent")
    first, *others = discord.messages
    assert sorted(first.identities) == sorted(name_of(second) for second in range(4))
    assert sorted(name for message in others for name in message.identities) == [name_of(1), name_of(3)]
    assert "ossible duplicate" not in str(first.body)
    assert all("ossible duplicate" in str(embed) for message in others for embed in message.body["embeds"])
    assert [row["ambiguous"] for row in await rows(pool)] == [1] * 4


@pytest.mark.usefixtures("_slow")
async def test_the_digest_of_a_killed_worker_is_taken_over(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Each of its alerts as if it had been alone."""
    await flood(pool, recorder, 4, of=("LOW", "HIGH"))
    dead = Outbox(pool, "a worker that is gone")
    claimed = await dead.claim(singles=1, together=10)
    assert claimed is not None
    assert len(claimed.parts) == 4
    await pool.execute("UPDATE alert_outbox SET claimed_at = now() - interval '31 seconds'")
    async with running():
        await until(pool, "unknown", "sent", "unknown", "sent")
    assert await dead.sent(claimed, "1") == ["sent", "sent"]


@pytest.mark.usefixtures("_slow")
async def test_a_digest_that_discord_refuses_costs_only_what_it_refuses(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows which alert it was: each is tried alone."""
    discord.script.extend([Behaviour(status=400), Behaviour(status=400)])
    await flood(pool, recorder, 3, of=("HIGH",))
    async with running():
        await until(pool, "dead", "sent", "sent")
    assert [len(message.identities) for message in discord.messages] == [1, 1]
    assert caplog.text.count("trying each alone") == 1


@pytest.mark.usefixtures("_slow")
async def test_a_digest_that_was_deleted_is_not_posted_again(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The edit ends there for all of its alerts."""
    await flood(pool, recorder, 3, of=("LOW",))
    async with running():
        await until(pool, *["sent"] * 3)
        discord.messages[0].deleted = True
        await recorder.record(an_alert(severity="HIGH", count=500))
        await discord.until(lambda: len(discord.requests) == 2)
        await until(pool, *["sent"] * 3)
    assert len(discord.messages) == 1


@pytest.mark.usefixtures("_slow")
async def test_an_edit_that_waits_does_not_make_the_whole_digest_old(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The outbox's age is that of what is to be told, not of the alerts beside it."""
    await flood(pool, recorder, 3, of=("LOW",))
    async with running():
        await until(pool, *["sent"] * 3)
    await pool.execute("UPDATE alert_outbox SET wanted_at = now() - interval '3 days'")
    await recorder.record(an_alert(severity="HIGH", count=500))
    outbox = Outbox(pool, "me")
    claimed = await outbox.claim()
    assert claimed is not None
    assert len(claimed.parts) == 3
    assert await outbox.age_seconds() < 60
    await outbox.release(claimed, "Discord is away")
    assert await outbox.age_seconds() < 60


@pytest.mark.usefixtures("_slow")
async def test_a_digest_that_is_being_edited_holds_up_no_other_edit(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A worker died with it: the others' edits go on meanwhile."""
    await flood(pool, recorder, 3, of=("LOW",))
    async with running():
        await until(pool, *["sent"] * 3)
    await recorder.record(an_alert(pane=LATER, severity="LOW"))
    async with running():
        await until(pool, *["sent"] * 4)
    await recorder.record(an_alert(severity="CRITICAL", count=500))
    assert await Outbox(pool, "a worker that is gone").claim()
    await recorder.record(an_alert(severity="HIGH", pane=PANE + 1, count=500))
    await recorder.record(an_alert(severity="MEDIUM", pane=LATER, count=500))
    async with running():
        await until(pool, "sending", "sending", "sending", "sent")


@pytest.mark.usefixtures("_slow")
@pytest.mark.parametrize("release", [release_0_1, release_before], ids=["0.1", "bca4cd5"])
async def test_an_earlier_release_leaves_a_digest_whole(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, release: Any
) -> None:
    """It would replace it by one alert: it posts a message of its own instead, and later edits keep both."""
    await flood(pool, recorder, 3, of=("LOW",))
    async with running():
        await until(pool, *["sent"] * 3)
    await recorder.record(an_alert(severity="HIGH", count=500))
    claimed = await release.claim(pool)
    assert claimed is not None
    assert claimed["message_id"] is None
    own = StoredMessage("77", [{"content": "", "embeds": [{"footer": {"text": name_of(0)}}]}])
    discord.messages.append(own)
    assert await release.sent(pool, claimed, own.message_id) == "sent"
    assert await release.claim(pool) is None
    await recorder.record(an_alert(severity="HIGH", pane=PANE + 1, count=500))
    await recorder.record(an_alert(severity="CRITICAL", count=501))
    async with running():
        await until(pool, *["sent"] * 3)
    digest = discord.messages[0]
    assert sorted(digest.identities) == sorted(name_of(second) for second in range(3))
    assert "HIGH" in digest.embed_of(name_of(1))["title"]
    assert "CRITICAL" in own.embed["title"]
    assert len(discord.messages) == 2


@pytest.mark.parametrize("release", [release_0_1, release_before], ids=["0.1", "bca4cd5"])
async def test_an_earlier_release_posts_and_edits_beside_this_one(
    pool: asyncpg.Pool, recorder: Recorder, release: Any
) -> None:
    """Messages of one alert are each other's to edit, and no alert is claimed twice."""
    await flood(pool, recorder, 40, of=("LOW",))
    outbox = Outbox(pool, "me")
    mine = await outbox.claim(singles=30, together=10)
    its = await release.claim(pool)
    assert mine is not None
    assert its is not None
    assert its["timestamp"] not in [instant(part.notice.alert.pane) for part in mine.parts]
    assert await release.sent(pool, its, "8") == "sent"
    assert await outbox.sent(mine, "9") == ["sent"] * 10
    again = an_alert(severity="HIGH", pane=int(its["timestamp"].timestamp()), count=500)
    await pool.execute("UPDATE alert_outbox SET not_before = now() + interval '1 hour' WHERE message_id IS NULL")
    await recorder.record(again)
    edit = await outbox.claim()
    assert edit is not None
    assert (edit.message_id, [part.notice.alert.severity for part in edit.parts]) == ("8", ["HIGH"])


async def test_alerts_of_a_digest_are_named_in_the_log(
    pool: asyncpg.Pool, recorder: Recorder, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks for one finds which message has it."""
    caplog.set_level(logging.INFO, "agents")
    await flood(pool, recorder, 31)
    async with running():
        await until(pool, *["sent"] * 31)
    assert all(name_of(second) in caplog.text for second in range(31))
