"""A channel that is not Discord has the same guarantees: the notifier knows of no service."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.delivery.notifier import Notifier
from streams import metrics
from tests.agents.delivery.conftest import QUICK, eventually, notifying, rows, until
from tests.agents.delivery.pager import Pager, PagerServer
from tests.agents.factories import PANE, a_move, an_alert
from tests.test_imports import imported


@pytest.fixture
async def server() -> AsyncIterator[PagerServer]:
    """Give a service of pagers."""
    async with PagerServer() as server:
        yield server


def paging(pool: asyncpg.Pool, channel: PagerServer | Pager) -> Notifier:
    """Return a notifier of a pager, or of the only one of a service."""
    quick: dict[str, Any] = QUICK
    return Notifier(pool, channel if isinstance(channel, Pager) else Pager(channel.port), **quick)


def test_the_notifier_knows_no_service() -> None:
    """Neither it nor the outbox imports Discord."""
    for module in ("agents.delivery.base", "agents.delivery.notifier", "agents.delivery.outbox"):
        assert {"agents.delivery.discord", "agents.delivery.message", "aiohttp"} & imported()[module] == set()


async def test_alerts_are_posted_and_amended(pool: asyncpg.Pool, recorder: Recorder, server: PagerServer) -> None:
    """In the channel's own words: what was raised, escalated and retracted; then the channel is closed."""
    channel = Pager(server.port)

    async def amended() -> bool:
        return [len(page) for page in server.pages] == [3, 1]

    async with notifying(paging(pool, channel)):
        await recorder.record(a_move(count=10, severity="LOW"))
        await until(pool, "sent")
        await recorder.record(a_move(count=11, severity="LOW", retracted=True))
        await eventually(lambda: _shown(server, 2))
        await until(pool, "sent")
        await recorder.record(a_move(count=12, severity="HIGH", pane=PANE + 60, episode=PANE))
        await eventually(amended)
        await until(pool, "sent", "sent")
    beyond = "\N{MULTIPLICATION SIGN} the threshold"
    retracted = f"LOW BTC/USD price moved +0.10 % in 5 min, 0.2{beyond} (retracted)"
    assert server.pages == [
        [f"LOW BTC/USD price moved +0.80 % in 5 min, 2.0{beyond}", retracted, f"up to HIGH! {retracted}"],
        [f"HIGH BTC/USD price moved +0.80 % in 5 min, 2.0{beyond}"],
    ]
    assert channel.is_closed


async def _shown(server: PagerServer, versions: int) -> bool:
    return len(server.pages[0]) == versions


async def test_a_busy_channel_is_waited_for(
    pool: asyncpg.Pool, recorder: Recorder, server: PagerServer, caplog: pytest.LogCaptureFixture
) -> None:
    """For as long as it asks, under its own name in the metrics; nothing is sent twice."""
    before = retries()
    server.script.extend(["BUSY 0.05"] * 3)
    await recorder.record(an_alert())
    with caplog.at_level(logging.INFO):
        async with notifying(paging(pool, server)):
            await until(pool, "sent")
    assert (len(server.pages), server.requests) == (1, 4)
    assert retries() == before + 3
    assert "on Pager" in caplog.text
    assert "Discord" not in caplog.text


def retries() -> float:
    """Return how often the pager was asked again."""
    return metrics.REGISTRY.get_sample_value("liqmon_sink_retries_total", {"sink": "pager"}) or 0.0


async def test_what_is_in_doubt_is_sent_again_and_marked(
    pool: asyncpg.Pool, recorder: Recorder, server: PagerServer
) -> None:
    """The pager took the page and said nothing."""
    server.script.append("CUT")
    await recorder.record(an_alert(severity="CRITICAL"))
    async with notifying(paging(pool, server)):
        await until(pool, "sent")
    assert [page[0].startswith("again? ") for page in server.pages] == [False, True]


async def test_a_refused_message_stops_no_other(pool: asyncpg.Pool, recorder: Recorder, server: PagerServer) -> None:
    """It is dead, the next is delivered."""
    server.script.append("NO")
    await recorder.record(an_alert(severity="HIGH"))
    await recorder.record(an_alert(pane=PANE + 1))
    async with notifying(paging(pool, server)):
        await until(pool, "dead", "sent")


async def test_a_deleted_message_is_let_be(pool: asyncpg.Pool, recorder: Recorder, server: PagerServer) -> None:
    """There is nothing to amend."""
    async with notifying(paging(pool, server)):
        await recorder.record(an_alert(severity="LOW", count=10))
        await until(pool, "sent")
        server.script.append("UNKNOWN")
        await recorder.record(an_alert(severity="HIGH", count=11))
        await eventually(lambda: _asked(server, 2))
        await until(pool, "sent")
    assert [len(page) for page in server.pages] == [1]


async def _asked(server: PagerServer, requests: int) -> bool:
    return server.requests == requests


async def test_a_channel_that_is_gone_is_said_once_with_its_remedy(
    pool: asyncpg.Pool, recorder: Recorder, server: PagerServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits and what follows is dead."""
    server.script.append("GONE")
    for number in range(2):
        await recorder.record(an_alert(pane=PANE + number))
    async with notifying(paging(pool, server)):
        await until(pool, "dead", "dead")
    assert server.requests == 1
    (line,) = [line for line in caplog.messages if "is gone" in line]
    assert line == (
        "the Pager number is gone and is not tried again: the pager answered 'GONE'; alerts go to Postgres and to this "
        "log (LOG_LEVEL=info) only. Buy a new one"
    )
    assert all("number disabled" in row["last_error"] or "GONE" in row["last_error"] for row in await rows(pool))


async def test_a_channel_that_is_away_loses_nothing(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """The message waits in the outbox until somebody listens."""
    server = PagerServer()
    async with server:
        pass
    await recorder.record(an_alert())
    async with notifying(paging(pool, server)):
        await eventually(lambda: _failed(pool))
        async with server:
            await until(pool, "sent")
    assert [len(page) for page in server.pages] == [1]


async def _failed(pool: asyncpg.Pool) -> bool:
    return "no pager" in str((await rows(pool))[0]["last_error"])
