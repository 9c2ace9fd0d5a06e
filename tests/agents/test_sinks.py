"""The worker's way out: alerts wait for Postgres, samples do not, and a stop never takes an alert for written."""

import asyncio
import logging
import os
import shutil
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from agents import sinks as sinks_module
from agents.counting.monitor import SourceMessage
from agents.sinks import Sinks
from agents.stats.window_stats import WindowSample
from streams.errors import BadRecord, Fatal, Outage
from streams.settings import Settings
from tables.market.pieces import Walk
from tests.agents.factories import PANE, an_alert
from tests.discord_server import DiscordServer
from tests.faults.proxy import HOST, Proxy
from tests.lost_writes import writes_that_fail
from tests.waiting import until

ROOT = Path(__file__).parents[2]


class Way:
    """Sinks with what they report."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.refused: list[tuple[SourceMessage, BadRecord]] = []
        self.fatal: list[Fatal] = []
        self.sinks = Sinks(settings, on_fatal=self.fatal.append, refuse=self._refuse, **options)

    async def _refuse(self, message: SourceMessage, error: BadRecord) -> None:
        self.refused.append((message, error))


@pytest.fixture
async def way_for() -> AsyncIterator[Callable[..., Way]]:
    """Give what makes sinks for settings and stops them at the end."""
    made: list[Way] = []

    def make(settings: Settings, **options: Any) -> Way:
        made.append(Way(settings, **options))
        return made[-1]

    yield make
    for way in made:
        way.sinks.close()
        await way.sinks.stop()


def message(value: bytes | None = None) -> SourceMessage:
    """Return a message of the topic ``alerts``."""
    return SourceMessage(msgspec.json.encode(an_alert()) if value is None else value, 1, 5, PANE)


def a_sample() -> WindowSample:
    """Return a sample of an empty window, taken now: old ones are pruned."""
    return WindowSample(int(time.time()), "kraken_spot", "BTC/USD", 300, PANE + 1, Walk().figures())


def with_webhook(settings: Settings, discord: DiscordServer) -> Settings:
    """Return the settings with a webhook of the local Discord."""
    return settings.model_copy(update={"discord_webhook_url": discord.webhook, "discord_api_base": discord.base})


async def rows(pool: asyncpg.Pool, table: str = "liquidation_alerts") -> int:
    """Return how many rows a table has."""
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
async def away(settings: Settings) -> AsyncIterator[tuple[Proxy, Settings]]:
    """Give a road to Postgres that is closed, and settings that take it."""
    async with Proxy(settings.postgres_port, settings.postgres_host) as proxy:
        await proxy.refuse()
        yield proxy, settings.model_copy(update={"postgres_host": HOST, "postgres_port": proxy.port})


async def test_an_alert_becomes_a_row(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """Once Postgres is open, and the worker knows that it can be reached."""
    sinks = way_for(settings).sinks
    assert sinks.pool is None
    assert not await sinks.reachable()
    await sinks.start()
    await sinks.record(message())
    assert sinks.pool is not None
    assert await sinks.reachable()
    assert await rows(pool) == 1


@pytest.mark.usefixtures("pool")
async def test_postgres_is_opened_once_without_a_webhook(
    settings: Settings, way_for: Callable[[Settings], Way], caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is nothing to deliver, what opens Postgres ends with that."""
    caplog.set_level(logging.INFO, "agents")
    sinks = way_for(settings).sinks
    await sinks.start()
    assert await sinks.record(message())
    pool = sinks.pool
    await until(lambda: not sinks._tasks, 5)
    assert sinks.pool is pool
    assert [line for line in caplog.messages if "no Discord webhook" in line] == [
        "no Discord webhook is set: alerts go to Postgres and to this log (LOG_LEVEL=info)"
    ]


async def test_alerts_that_come_together_do_not_suffer_for_one_that_nobody_can_record(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """Neither for what is no alert, nor for figures that Postgres refuses; each of these is put aside once."""
    way = way_for(settings)
    await way.sinks.start()
    values = [
        msgspec.json.encode(an_alert()),
        b"no alert",
        msgspec.json.encode(an_alert(symbol="ETH/USD", count=2**63)),
        msgspec.json.encode(an_alert(symbol="SOL/USD")),
    ]
    messages = [message(value) for value in values]
    assert await way.sinks.record_all(messages) == [True] * 4
    assert await rows(pool) == 2
    assert [refused.value for refused, _ in way.refused] == [values[1], values[2]]


async def test_what_was_let_go_is_said_of_each_alert(
    away: tuple[Proxy, Settings], way_for: Callable[[Settings], Way]
) -> None:
    """What was put aside is done, and what waits for Postgres is not."""
    way = way_for(away[1])
    await way.sinks.start()
    waiting = asyncio.create_task(way.sinks.record_all([message(), message(b"no alert"), message()]))
    await until(lambda: way.refused)
    with way.sinks.letting_go():
        assert await waiting == [False, True, False]


@pytest.mark.usefixtures("pool")
async def test_each_alert_is_logged_at_most_once(
    settings: Settings, way_for: Callable[[Settings], Way], caplog: pytest.LogCaptureFixture
) -> None:
    """The line names the alert and says what happened; what comes again, or with fuller figures, adds none."""
    caplog.set_level(logging.INFO, "agents")
    sinks = way_for(settings).sinks
    await sinks.start()
    fuller = msgspec.json.encode(an_alert(count=500, severity="HIGH"))
    another = msgspec.json.encode(an_alert(pane=PANE + 600))
    for value in (None, None, fuller, another):
        assert await sinks.record(message(value))
    what = "2.02 M USD traded in 5 min, 2.0\N{MULTIPLICATION SIGN} the threshold"
    assert [line for line in caplog.messages if line.startswith("alert ")] == [
        f"alert volume · kraken_spot · BTC/USD · {PANE}: MEDIUM at 2019-07-01 00:06:04 UTC, {what}",
        f"alert volume · kraken_spot · BTC/USD · {PANE + 600}: MEDIUM at 2019-07-01 00:16:04 UTC, {what}",
    ]
    assert "no Discord webhook is set: alerts go to Postgres and to this log (LOG_LEVEL=info)" in caplog.messages


async def test_without_a_webhook_nothing_is_to_be_sent(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """The outbox says that the alert's message is disabled, also for a webhook that is set later."""
    sinks = way_for(settings).sinks
    await sinks.start()
    await sinks.record(message())
    assert await pool.fetchval("SELECT state FROM alert_outbox") == "disabled"


async def test_alerts_wait_for_a_postgres_that_is_away(
    away: tuple[Proxy, Settings], pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """The message stays unacknowledged until its row is there; samples are not worth waiting for."""
    proxy, settings = away
    sinks = way_for(settings).sinks
    await sinks.start()
    recording = asyncio.create_task(sinks.record(message()))
    await sinks.sample([a_sample()])
    assert not await sinks.reachable()
    assert not recording.done()
    await proxy.heal()
    await asyncio.wait_for(recording, 20)
    assert await rows(pool) == 1
    await sinks.sample([a_sample()])
    assert await rows(pool, "window_stats") == 1


async def test_partitions_that_move_take_a_waiting_alert_along(
    away: tuple[Proxy, Settings], pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """The move waits for no Postgres; the message is not taken for recorded, and the next owner waits on."""
    proxy, settings = away
    sinks = way_for(settings).sinks
    await sinks.start()
    recording = asyncio.create_task(sinks.record(message()))
    with sinks.letting_go():
        assert await asyncio.wait_for(recording, 5) is False
    again = asyncio.create_task(sinks.record(message()))
    await proxy.heal()
    assert await asyncio.wait_for(again, 20) is True
    with sinks.letting_go():
        assert await sinks.record(message()), "a Postgres that answers is not left"
    assert await rows(pool) == 1


async def test_an_outage_in_between_is_waited_out(
    away: tuple[Proxy, Settings],
    pool: asyncpg.Pool,
    way_for: Callable[[Settings], Way],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Readiness tells of it; a sample that falls into it is said and dropped."""
    proxy, settings = away
    await proxy.heal()
    sinks = way_for(settings).sinks
    await sinks.start()
    await sinks.record(message())
    await proxy.refuse()
    assert not await sinks.reachable()
    with caplog.at_level(logging.WARNING):
        await sinks.sample([a_sample()])
    assert "a sample of 1 window was not written" in caplog.text
    later = msgspec.json.encode(an_alert(pane=PANE + 400))
    recording = asyncio.create_task(sinks.record(message(later)))
    await until(lambda: "postgres does not answer, trying again" in caplog.text)
    assert not recording.done()
    await proxy.heal()
    await asyncio.wait_for(recording, 20)
    assert await rows(pool) == 2


async def test_an_error_that_no_client_should_raise_costs_no_alert(
    settings: Settings,
    pool: asyncpg.Pool,
    way_for: Callable[[Settings], Way],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is an outage that is waited for: neither a dead letter nor the worker's end."""
    way = way_for(settings)
    await way.sinks.start()
    await until(lambda: way.sinks.pool)
    with writes_that_fail(settings.postgres_port) as failed:
        assert not await way.sinks.reachable()
        recording = asyncio.create_task(way.sinks.record(message()))
        begun = len(failed)
        await until(lambda: len(failed) > begun + 2)
        await way.sinks.sample([a_sample()])
        assert not recording.done()
    assert await asyncio.wait_for(recording, 20)
    assert way.refused == []
    assert await rows(pool) == 1
    assert "'NoneType' object is not callable" in caplog.text


@pytest.mark.parametrize("opened", [False, True])
async def test_a_stop_ends_the_wait_without_taking_the_alert_for_written(
    away: tuple[Proxy, Settings], pool: asyncpg.Pool, way_for: Callable[[Settings], Way], opened: bool
) -> None:
    """The caller learns that it must not acknowledge: the alert is recorded after the next start."""
    proxy, settings = away
    sinks = way_for(settings).sinks
    await sinks.start()
    if opened:
        await proxy.heal()
        await until(lambda: sinks.pool)
        await proxy.refuse()
    recording = asyncio.create_task(sinks.record(message()))
    for _ in range(5):
        await asyncio.sleep(0)
    sinks.close()
    with pytest.raises(Outage):
        await asyncio.wait_for(recording, 20)
    assert await rows(pool) == 0


async def test_a_stop_does_not_keep_a_reachable_postgres_from_its_row(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """What is under way is finished first."""
    sinks = way_for(settings).sinks
    await sinks.start()
    await until(lambda: sinks.pool)
    sinks.close()
    await sinks.record(message())
    assert await rows(pool) == 1


@pytest.mark.parametrize("value", [b"", b"nonsense", b"{}", b'{"rule": 1}', msgspec.json.encode(an_alert(pane=10**15))])
async def test_what_no_row_can_hold_is_refused(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way], value: bytes
) -> None:
    """It goes to the dead letters and the next alert is recorded."""
    way = way_for(settings)
    await way.sinks.start()
    await way.sinks.record(message(value))
    await way.sinks.record(message())
    ((refused, error),) = way.refused
    assert refused.value == value
    assert error.reason in {"not_json", "wrong_type", "magnitude"}
    assert await rows(pool) == 1


async def test_a_database_that_refuses_is_fatal(settings: Settings, way_for: Callable[[Settings], Way]) -> None:
    """Waiting does not mend it: the operator is told what to check."""
    way = way_for(settings.model_copy(update={"postgres_db": "no_such_database"}))
    await way.sinks.start()
    await until(lambda: way.fatal)
    assert "POSTGRES_DB" in str(way.fatal[0])


BROKEN = """
import asyncio

from agents import sinks
from streams.settings import load_settings


async def main():
    told = asyncio.get_running_loop().create_future()
    way = sinks.Sinks(load_settings(), on_fatal=told.set_result, refuse=None)
    await way.start()
    print(f"{sinks.__file__}: {type(await told).__name__}: {await told}")
    await way.stop()


asyncio.run(main())
"""


async def test_a_broken_installation_is_fatal(settings: Settings, tmp_path: Path) -> None:
    """Its migrations are missing. Alerts would wait forever for a Postgres that answers."""
    for package in ("agents", "streams", "tables"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("migrations", "__pycache__"))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "POSTGRES_HOST": settings.postgres_host,
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_USER": settings.postgres_user,
        "POSTGRES_PASSWORD": settings.postgres_password.get_secret_value(),
        "POSTGRES_DB": settings.postgres_db,
    }
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BROKEN, cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE
    )
    said, logged = (stream.decode() for stream in await asyncio.wait_for(ran.communicate(), 60))
    assert said.startswith(f"{tmp_path}/agents/sinks.py: Fatal: Postgres cannot be opened (FileNotFoundError"), logged
    assert "migrations" in said


async def test_postgres_is_opened_once(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[[Settings], Way]
) -> None:
    """With a webhook or without, one pool serves for as long as the worker lives."""
    sinks = way_for(settings).sinks
    await sinks.start()
    await until(lambda: sinks.pool)
    opened = sinks.pool
    for _ in range(20):
        assert await sinks.reachable()
    assert sinks.pool is opened


async def test_alerts_reach_discord(
    settings: Settings, pool: asyncpg.Pool, discord: DiscordServer, way_for: Callable[[Settings], Way]
) -> None:
    """Where a webhook is set, at once."""
    sinks = way_for(with_webhook(settings, discord)).sinks
    await sinks.start()
    await sinks.record(message())
    await until(lambda: discord.messages)


async def test_messages_call_a_venue_by_its_name_for_people(
    settings: Settings, pool: asyncpg.Pool, discord: DiscordServer, way_for: Callable[..., Way]
) -> None:
    """As the venue gives it; and they link to the web view of the settings."""
    hooked = with_webhook(settings, discord).model_copy(update={"web_public_url": "https://monitor.example.com/"})
    sinks = way_for(hooked, venue_names={"kraken_spot": "Kraken Spot"}).sinks
    await sinks.start()
    await sinks.record(message())
    await until(lambda: discord.messages)
    embed = discord.messages[0].embed
    assert embed["title"].endswith("Kraken Spot")
    assert embed["url"].startswith("https://monitor.example.com/market?")


async def test_a_wrong_webhook_is_fatal(settings: Settings, pool: asyncpg.Pool, way_for: Callable[..., Way]) -> None:
    """The operator is told which setting to mend, without its value."""
    wrong = SecretStr("https://example.com/s3cret")
    way = way_for(settings.model_copy(update={"discord_webhook_url": wrong}))
    await way.sinks.start()
    await until(lambda: way.fatal)
    assert "DISCORD_WEBHOOK_URL" in str(way.fatal[0])
    assert "s3cret" not in str(way.fatal[0])


async def test_a_fault_in_delivery_is_said_and_delivery_begins_again(
    settings: Settings,
    pool: asyncpg.Pool,
    discord: DiscordServer,
    way_for: Callable[..., Way],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A venue whose name is no text: it neither ends delivery without a word nor takes the windows with it."""
    monkeypatch.setattr(sinks_module, "RESTART_SECONDS", 0.01)
    names: dict[str, Any] = {"kraken_spot": 5}
    way = way_for(with_webhook(settings, discord), venue_names=names)
    await way.sinks.start()
    await way.sinks.record(message())
    await until(lambda: "delivery to Discord failed; it begins again" in caplog.text)
    assert "TypeError" in caplog.text
    names["kraken_spot"] = "Kraken Spot"
    await way.sinks.record(message(msgspec.json.encode(an_alert(pane=PANE + 1))))
    await until(lambda: discord.messages)
    assert discord.messages[0].identity.endswith(str(PANE + 1))
    assert way.fatal == []


async def test_a_postgres_that_was_read_only_is_written_to_again(
    settings: Settings, pool: asyncpg.Pool, way_for: Callable[..., Way], caplog: pytest.LogCaptureFixture
) -> None:
    """A connection stays read-only as it began, also once its database is mended, or another server is the primary."""
    async with pool.acquire() as admin:
        read_only = f'ALTER DATABASE "{settings.postgres_db}" SET default_transaction_read_only'
        way = way_for(settings)
        await way.sinks.start()
        await until(lambda: way.sinks.pool is not None)
        await admin.execute(f"{read_only} = on")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        recording = asyncio.create_task(way.sinks.record(message()))
        await until(lambda: "trying again until it does" in caplog.text)
        assert not await way.sinks.reachable()
        for _ in range(3):
            await way.sinks.sample([a_sample()])
        assert caplog.text.count("was not written") == 1
        await admin.execute(f"{read_only} = off")
        assert await recording
        await way.sinks.sample([a_sample()])
        assert await way.sinks.reachable()
        assert await admin.fetchval("SELECT count(*) FROM liquidation_alerts") == 1
        assert await admin.fetchval("SELECT count(*) FROM window_stats") == 1
