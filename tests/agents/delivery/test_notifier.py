"""The last hop: every message at least once, duplicates bounded and marked, one webhook shared by many workers."""

import asyncio
import logging

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.alerts.words import identity
from agents.delivery import claims
from agents.delivery.outbox import Outbox
from streams import metrics
from tests.agents.delivery.conftest import Running, eventually, rows, states, until
from tests.agents.factories import PANE, an_alert
from tests.discord_server import (
    TOKEN,
    Behaviour,
    DiscordServer,
    accepted_then_dropped,
    page_of_a_proxy,
    rate_limited,
    shut,
    webhook_gone,
)


@pytest.fixture(autouse=True)
def _prompt_resends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resend after an ambiguous outcome at once instead of after a second and more."""
    for name in ("UNCONFIRMED", "ORPHANS"):
        statement = getattr(claims, name)
        assert "interval '1 second'" in statement
        monkeypatch.setattr(claims, name, statement.replace("interval '1 second'", "interval '1 millisecond'"))


def delivered(outcome: str) -> float:
    """Return the metric of Discord messages with an outcome."""
    return metrics.REGISTRY.get_sample_value("liqmon_deliveries_total", {"outcome": outcome}) or 0.0


async def test_an_alert_becomes_one_message(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The row is sent once, and its message's id is kept."""
    async with running():
        await recorder.record(an_alert())
        await until(pool, "sent")
    (message,) = discord.messages
    (row,) = await rows(pool)
    assert message.identity == identity(an_alert())
    assert (row["message_id"], row["posted_severity"], row["attempts"]) == (message.message_id, "MEDIUM", 1)
    assert len(discord.requests) == 1


async def test_a_new_row_wakes_the_notifier_of_its_worker(
    pool: asyncpg.Pool, discord: DiscordServer, running: Running
) -> None:
    """Delivery does not wait for the poll where recorder and notifier share an event."""
    wake = asyncio.Event()
    wake.set()

    async def looked() -> bool:
        return not wake.is_set()

    async with running(wake=wake, poll_seconds=60):
        await eventually(looked)
        await Recorder(pool, deliver=True, wake=wake).record(an_alert())
        await discord.until(lambda: discord.messages, timeout_seconds=5)


async def test_many_workers_send_each_message_once(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Four notifiers on one outbox claim different rows: thirty alerts are thirty messages."""
    for number in range(30):
        await recorder.record(an_alert(pane=PANE + number))
    async with running(), running(), running(), running():
        await until(pool, *["sent"] * 30)
    assert len(discord.messages) == 30
    assert len({message.identity for message in discord.messages}) == 30


async def test_the_highest_severity_goes_first(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Where the pace is limited, what matters most does not wait behind what matters least."""
    for number, severity in enumerate(("LOW", "CRITICAL", "MEDIUM")):
        await recorder.record(an_alert(pane=PANE + number, severity=severity))
    async with running():
        await until(pool, "sent", "sent", "sent")
    titles = [message.embed["title"] for message in discord.messages]
    assert ["CRITICAL" in titles[0], "MEDIUM" in titles[1], "LOW" in titles[2]] == [True] * 3


async def test_a_severity_that_rises_in_the_pane_edits_the_message(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """The message is brought to the higher severity; no second one is posted."""
    async with running():
        await recorder.record(an_alert(severity="LOW", count=10))
        await until(pool, "sent")
        await recorder.record(an_alert(severity="HIGH", count=20))
        await discord.until(lambda: len(discord.messages[0].versions) == 2)
        await until(pool, "sent")
    (message,) = discord.messages
    assert "HIGH" in message.embed["title"]


async def test_a_severity_that_rises_while_its_message_is_sent_is_edited_after(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """An update between claim and answer is not lost."""
    answer = asyncio.Event()
    discord.script.append(Behaviour(until=answer))
    await recorder.record(an_alert(severity="LOW", count=10))
    async with running():
        await until(pool, "sending")
        await recorder.record(an_alert(severity="HIGH", count=20))
        answer.set()
        await discord.until(lambda: discord.messages and len(discord.messages[0].versions) == 2)
        await until(pool, "sent")
    assert "HIGH" in discord.messages[0].embed["title"]


async def test_an_escalation_is_a_new_message_and_marks_the_earlier_one(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A later pane of the episode posts anew, and the first message says what came of it."""
    async with running():
        await recorder.record(an_alert(severity="LOW"))
        await until(pool, "sent")
        await recorder.record(an_alert(severity="HIGH", pane=PANE + 60, episode=PANE))
        await discord.until(lambda: len(discord.messages) == 2 and len(discord.messages[0].versions) == 2)
        await until(pool, "sent", "sent")
    first, second = discord.messages
    assert "Escalated to HIGH" in first.embed["description"]
    assert "HIGH" in second.embed["title"]
    assert len(second.versions) == 1


async def test_a_deleted_message_is_not_posted_again(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Somebody removed the message: the edit ends there, and the webhook goes on."""
    async with running() as notifier:
        await recorder.record(an_alert(severity="LOW", count=10))
        await until(pool, "sent")
        discord.messages[0].deleted = True
        await recorder.record(an_alert(severity="HIGH", count=20))
        await until(pool, "sent")
        await discord.until(lambda: len(discord.requests) == 2)
        await until(pool, "sent")
        assert notifier.channel_gone is None
    assert len(discord.messages) == 1


@pytest.mark.parametrize("severity", ["LOW", "CRITICAL"])
async def test_429_loses_nothing_and_duplicates_nothing(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, severity: str
) -> None:
    """Discord asks to slow down three times: the message arrives once, unmarked."""
    discord.script.extend([rate_limited(0.05)] * 3)
    await recorder.record(an_alert(severity=severity))
    async with running():
        await until(pool, "sent")
    (message,) = discord.messages
    assert "duplicate" not in str(message.body)
    assert len(discord.requests) == 4


async def test_a_refused_connection_is_tried_until_it_works(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Discord is away and comes back: one message, one log line at each end of the outage."""
    caplog.set_level(logging.INFO)
    await discord.stop()
    await recorder.record(an_alert(severity="LOW"))
    before = delivered("not_delivered")

    async def tried_thrice() -> bool:
        return delivered("not_delivered") >= before + 3

    async with running():
        await eventually(tried_thrice)
        await discord.start()
        await until(pool, "sent")
    assert len(discord.messages) == 1
    assert caplog.text.count("Discord does not take messages") == 1
    assert caplog.text.count("Discord takes messages again") == 1


@pytest.mark.parametrize("behaviour", [Behaviour(status=500), Behaviour(status=403)], ids=["500", "403"])
async def test_a_discord_in_trouble_is_left_alone_for_a_while(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, behaviour: Behaviour
) -> None:
    """After a failure the other alerts wait too: a storm of errors costs one unknown message, not all of them."""
    discord.script.append(behaviour)
    for number in range(2):
        await recorder.record(an_alert(pane=PANE + number, severity="LOW"))
    async with running(first_delay_seconds=0.4):
        await discord.until(lambda: len(discord.requests) == 2)
    first, second = discord.requests
    assert second.at_seconds - first.at_seconds >= 0.2


@pytest.mark.parametrize("severity", ["HIGH", "CRITICAL"])
async def test_an_unknown_outcome_of_a_grave_alert_is_sent_again_and_marked(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, severity: str
) -> None:
    """Discord kept the message and cut the connection: a second one says that it may be a duplicate."""
    discord.script.append(accepted_then_dropped())
    await recorder.record(an_alert(severity=severity))
    async with running():
        await until(pool, "sent")
    first, second = discord.messages
    assert "ossible duplicate" not in first.embed["description"]
    assert "Possible duplicate" in second.embed["description"]
    (row,) = await rows(pool)
    assert (row["ambiguous"], row["message_id"]) == (1, second.message_id)


@pytest.mark.parametrize("severity", ["LOW", "MEDIUM"])
@pytest.mark.parametrize("behaviour", [accepted_then_dropped(), Behaviour(status=500)], ids=["dropped", "500"])
async def test_an_unknown_outcome_of_a_lesser_alert_is_left_unknown(
    pool: asyncpg.Pool,
    recorder: Recorder,
    discord: DiscordServer,
    running: Running,
    severity: str,
    behaviour: Behaviour,
) -> None:
    """It is not worth a duplicate; the row says that nobody knows."""
    discord.script.append(behaviour)
    await recorder.record(an_alert(severity=severity))
    async with running():
        await until(pool, "unknown")
    assert len(discord.requests) == 1


async def test_posts_never_exceed_alerts_and_ambiguous_outcomes(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Each ambiguous outcome allows one duplicate, none comes from anywhere else, and none passes unmarked."""
    discord.script.extend(
        [accepted_then_dropped(), Behaviour(status=500), rate_limited(0.01), accepted_then_dropped(), Behaviour()] * 3
    )
    for number in range(20):
        await recorder.record(an_alert(pane=PANE + number, severity=("LOW", "HIGH")[number % 2]))

    async def settled() -> bool:
        return not {"pending", "sending"} & set(await states(pool))

    async with running(), running():
        await eventually(settled)
    assert sum(row["ambiguous"] for row in await rows(pool)) >= 9
    for row in await rows(pool):
        name = identity(an_alert(pane=int(row["timestamp"].timestamp())))
        shown = discord.of(name)
        assert shown or row["state"] == "unknown"
        assert len(shown) <= (row["state"] == "sent") + row["ambiguous"]
        assert all("ossible duplicate" in message.embed_of(name)["description"] for message in shown[1:])


async def test_duplicates_of_one_alert_are_bounded(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Discord that keeps every message and never answers gets a limited number of them."""
    monkeypatch.setattr(claims, "UNCONFIRMED", claims.UNCONFIRMED.replace(">= 20", ">= 3"))
    discord.always = accepted_then_dropped()
    await recorder.record(an_alert(severity="CRITICAL"))
    async with running():
        await until(pool, "unknown")
    assert len(discord.messages) == 3


async def test_an_ambiguous_edit_is_repeated(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Editing twice does no harm, so even a lesser alert's edit is tried until it is confirmed, unmarked."""
    async with running():
        await recorder.record(an_alert(severity="LOW", count=10))
        await until(pool, "sent")
        discord.script.extend([accepted_then_dropped(), Behaviour(status=503)])
        await recorder.record(an_alert(severity="MEDIUM", count=20))
        await discord.until(lambda: len(discord.requests) == 4)
        await until(pool, "sent")
    (message,) = discord.messages
    assert "MEDIUM" in message.embed["title"]
    assert "ossible duplicate" not in message.embed["description"]


@pytest.mark.parametrize("status", [401, 404])
async def test_a_dead_webhook_is_disabled_and_said_so_once(
    pool: asyncpg.Pool,
    recorder: Recorder,
    discord: DiscordServer,
    running: Running,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One request finds it out; the messages waiting and those that follow are dead; the log says it in one line."""
    discord.always = webhook_gone(status)
    before = delivered("dead")
    for number in range(3):
        await recorder.record(an_alert(pane=PANE + number))
    async with running() as notifier:
        await until(pool, "dead", "dead", "dead")
        await recorder.record(an_alert(pane=PANE + 3))
        await until(pool, "dead", "dead", "dead", "dead")
        assert notifier.channel_gone
    assert len(discord.requests) == 1
    assert delivered("dead") == before + 4
    assert caplog.text.count("webhook is gone") == 1
    assert TOKEN not in caplog.text
    assert all(TOKEN not in row["last_error"] and str(status) in row["last_error"] for row in await rows(pool))


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (page_of_a_proxy(404), "not Discord's"),
        (page_of_a_proxy(401), "not Discord's"),
        (page_of_a_proxy(429), "does not say for how long"),
        (page_of_a_proxy(301), "redirect"),
        (shut(400, 220001), "add ?thread_id="),
        (shut(400, 50083), "archived or locked"),
        (shut(404, 10003), "channel was deleted"),
        (shut(403, 50013), "allow the webhook to post"),
    ],
)
async def test_a_webhook_that_can_be_mended_holds_its_messages(
    pool: asyncpg.Pool,
    recorder: Recorder,
    discord: DiscordServer,
    running: Running,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour,
    said: str,
) -> None:
    """They are neither dead nor in doubt, and are sent once when it takes them; one line says what to change."""
    discord.always = behaviour
    for number in range(2):
        await recorder.record(an_alert(pane=PANE + number, severity="LOW"))
    async with running() as notifier:
        await discord.until(lambda: len(discord.requests) >= 4)
        assert notifier.channel_gone is None
        discord.always = None
        await until(pool, "sent", "sent")
    assert [len(message.versions) for message in discord.messages] == [1, 1]
    assert [(row["ambiguous"], row["possible_duplicate"]) for row in await rows(pool)] == [(0, False)] * 2
    (line,) = [line for line in caplog.messages if "does not take messages" in line]
    assert said in line


async def test_what_is_to_be_mended_is_said_also_in_the_middle_of_an_outage(
    pool: asyncpg.Pool,
    recorder: Recorder,
    discord: DiscordServer,
    running: Running,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Discord was away first: nobody would look for an archived thread."""
    discord.script.extend([page_of_a_proxy(404), *[shut(400, 50083)] * 2])
    await recorder.record(an_alert())
    async with running():
        await until(pool, "sent")
    lines = [line for line in caplog.messages if "does not take messages" in line]
    assert ["archived" in line for line in lines] == [False, True]


async def test_the_waiting_grows_where_429_names_no_time(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Delays double, whoever answers."""
    discord.script.extend([page_of_a_proxy(429)] * 4)
    await recorder.record(an_alert())
    async with running(first_delay_seconds=0.05):
        await until(pool, "sent")
    times = [request.at_seconds for request in discord.requests]
    # Half to all of 50, 100, 200 and 400 ms.
    assert times[4] - times[3] >= 0.2
    assert len(times) == 5


async def test_a_message_that_discord_refuses_stops_no_other(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """400 concerns one alert: it is dead, the next is delivered."""
    discord.script.append(Behaviour(status=400))
    await recorder.record(an_alert(severity="HIGH"))
    await recorder.record(an_alert(pane=PANE + 1))
    async with running():
        await until(pool, "dead", "sent")


async def test_the_claim_of_a_killed_worker_is_taken_over(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A worker died between claim and answer: a grave alert is sent again, marked; a lesser one becomes unknown."""
    await recorder.record(an_alert(severity="CRITICAL"))
    await recorder.record(an_alert(severity="LOW", pane=PANE + 1))
    dead = Outbox(pool, "a worker that is gone")
    assert await dead.claim()
    assert await dead.claim()
    async with running():
        await asyncio.sleep(0.2)
        assert await states(pool) == ["sending", "sending"]
        await pool.execute("UPDATE alert_outbox SET claimed_at = now() - interval '31 seconds'")
        await until(pool, "sent", "unknown")
    (message,) = discord.messages
    assert "Possible duplicate" in message.embed["description"]


async def test_a_worker_that_wakes_after_its_claim_was_taken_changes_nothing(
    pool: asyncpg.Pool, recorder: Recorder
) -> None:
    """A frozen worker's late word about a message that another has sent meanwhile is refused."""
    await recorder.record(an_alert(severity="HIGH"))
    frozen, other = Outbox(pool, "frozen"), Outbox(pool, "other")
    lost = await frozen.claim()
    assert lost is not None
    assert await other.take_orphans(0.0) == ["pending"]
    await asyncio.sleep(0.01)
    taken = await other.claim()
    assert taken is not None
    assert taken.notices[0].possible_duplicate
    assert await frozen.release(lost, "late") == []
    assert await frozen.unconfirmed(lost, "late") == []
    assert await frozen.give_up(lost, "late") == []
    assert await frozen.sent(lost, "1") == []
    assert await other.sent(taken, "2") == ["sent"]
    (row,) = await rows(pool)
    assert row["message_id"] == "2"


async def test_a_late_answer_settles_what_was_unknown(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """A worker taken for dead that did deliver names the message's id: nothing needs to be sent again."""
    await recorder.record(an_alert(severity="LOW"))
    slow, other = Outbox(pool, "slow"), Outbox(pool, "other")
    delivery = await slow.claim()
    assert delivery is not None
    assert await other.take_orphans(0.0) == ["unknown"]
    assert await slow.sent(delivery, "1") == ["sent"]


async def test_the_outbox_age_is_told(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """The age is that of the oldest message that should be on Discord and is not."""
    outbox = Outbox(pool, "me")
    assert await outbox.age_seconds() == 0.0
    await recorder.record(an_alert())
    await recorder.record(an_alert(pane=PANE + 1))
    await pool.execute("UPDATE alert_outbox SET wanted_at = now() - interval '90 seconds' WHERE severity = 'MEDIUM'")
    assert 90 <= await outbox.age_seconds() < 100
    await pool.execute("UPDATE alert_outbox SET state = 'dead'")
    assert await outbox.age_seconds() == 0.0


async def test_stopping_finishes_the_request_under_way(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """A graceful stop leaves no message in doubt."""
    answer = asyncio.Event()
    discord.script.append(Behaviour(until=answer))
    await recorder.record(an_alert())
    async with running():
        await until(pool, "sending")
        # The notifier is told to stop as soon as the block ends, before anything else has a turn.
        asyncio.get_running_loop().call_later(0.3, answer.set)
    assert await states(pool) == ["sent"]


async def test_a_postgres_outage_is_waited_out(
    pool: asyncpg.Pool, recorder: Recorder, discord: DiscordServer, running: Running
) -> None:
    """Connections that the server ends do not stop the notifier."""
    async with running():
        await recorder.record(an_alert())
        await until(pool, "sent")
        async with pool.acquire() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await recorder.record(an_alert(pane=PANE + 1))
        await until(pool, "sent", "sent")
    assert len(discord.messages) == 2
