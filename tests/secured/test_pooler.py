"""Postgres behind pgbouncer: every call of the program works in transaction mode."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agents.alerts.postgres import open_pool
from agents.alerts.recorder import Recorder, RecordOutcome, alert_rows
from streams.errors import Fatal
from streams.settings import load_settings
from tests.agents.factories import PANE, an_alert
from tests.secured.pooler import SERVERS, pooled

ALERTS = 60


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give a directory that pgbouncer's account can use."""
    with TemporaryDirectory(prefix="liqmon-pgbouncer-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        yield directory


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_every_call_works(postgres_settings: dict[str, Any], open_directory: Path, mode: str) -> None:
    """Migrations, rows written and read by many connections at once: each transaction may meet another server."""
    with pooled(postgres_settings, open_directory, mode) as settings:
        pool = await open_pool(load_settings(**settings))
        try:
            recorder = Recorder(pool, deliver=True)
            alerts = [an_alert(pane=PANE + number) for number in range(ALERTS)]
            clients = range(SERVERS if mode == "session" else ALERTS)
            turns = [alerts[first :: len(clients)] for first in clients]

            async def record(turn: list[Any]) -> list[RecordOutcome]:
                return [await recorder.record(alert) for alert in turn]

            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(*(record(turn) for turn in turns))
                assert {outcome for some in outcomes for outcome in some} == {RecordOutcome.INSERTED}
                assert len(await alert_rows(pool, [alert.id for alert in alerts])) == ALERTS
        finally:
            await pool.close()


async def test_without_a_pooler_statements_are_prepared_once(postgres_settings: dict[str, Any]) -> None:
    """Nobody pays for a pooler that is not there."""
    pool = await open_pool(load_settings(**postgres_settings))
    try:
        async with pool.acquire() as connection:
            for _ in range(3):
                await connection.fetchval("SELECT 41 + $1::int", 1)
            assert await connection.fetchval(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%41 +%'"
            )
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("mode", "wrong", "said"),
    [
        ("statement", {}, "set the pooler's pool_mode to transaction or session"),
        (
            "transaction",
            {"postgres_password": "wrong"},
            "authentication failed; check POSTGRES_USER, ",
        ),
        ("transaction", {"postgres_user": "nobody"}, "authentication failed; check POSTGRES_USER, "),
        (
            "transaction",
            {"postgres_db": "nothing"},
            "no such database.*; check POSTGRES_USER, ",
        ),
    ],
)
async def test_what_a_pooler_refuses_is_one_line(
    postgres_settings: dict[str, Any], open_directory: Path, mode: str, wrong: dict[str, Any], said: str
) -> None:
    """It is final, as if the server had said it."""
    with pooled(postgres_settings, open_directory, mode) as settings:
        address = f"127.0.0.1:{settings['postgres_port']}"
        with pytest.raises(Fatal, match=f"^Postgres at {address} refuses the connection: .*{said}") as refused:
            await open_pool(load_settings(**{**settings, **wrong}))
        assert "\n" not in str(refused.value)
