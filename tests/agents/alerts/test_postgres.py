"""The database at start: migrations run once, whoever starts, and errors say what they mean."""

import asyncio
import logging
import socket
from typing import Any

import asyncpg
import pytest

from agents.alerts.postgres import Migration, answering, migrate, migrations, open_pool
from streams.errors import BadRecord, Fatal, Outage
from streams.settings import Settings, load_settings


async def test_start_makes_the_tables(pool: asyncpg.Pool) -> None:
    """An empty database has every table after the first start, and a note of what ran."""
    tables = {row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {"schema_migrations", "liquidation_alerts", "alert_outbox", "window_stats"}
    recorded = await pool.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    assert [tuple(row) for row in recorded] == [(step.version, step.name, step.checksum) for step in migrations()]


async def test_workers_that_start_together_migrate_once(settings: Settings) -> None:
    """Eight workers on an empty database: each migration is applied by exactly one, and all of them start."""
    pools = await asyncio.gather(*(open_pool(settings) for _ in range(8)))
    try:
        count = await pools[0].fetchval("SELECT count(*) FROM schema_migrations")
        assert count == len(migrations())
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))


async def test_a_second_start_changes_nothing(pool: asyncpg.Pool) -> None:
    """Migrating an up-to-date database applies nothing."""
    assert await migrate(pool) == []


async def test_an_edited_migration_stops_the_start(pool: asyncpg.Pool) -> None:
    """A migration whose text changed after it ran is named, and the operator is told what to do."""
    steps = migrations()
    steps[0] = steps[0]._replace(checksum="0" * 64)
    with pytest.raises(Fatal, match=f"{steps[0].name} was edited .* restore the file"):
        await migrate(pool, steps)


async def test_a_failing_migration_leaves_nothing(pool: asyncpg.Pool) -> None:
    """A migration that cannot run stops the start by name and undoes those before it."""
    good = Migration(9001, "9001_good.sql", "CREATE TABLE good ()", "a")
    bad = Migration(9002, "9002_bad.sql", "CREATE TABLE bad (", "b")
    with pytest.raises(Fatal, match=r"9002_bad\.sql fails"):
        await migrate(pool, [*migrations(), good, bad])
    assert await pool.fetchval("SELECT to_regclass('good')") is None


async def test_a_database_of_a_newer_program_is_accepted(pool: asyncpg.Pool) -> None:
    """During a rolling upgrade an old worker restarts on a schema that is ahead of it."""
    newer = Migration(9001, "9001_newer.sql", "CREATE TABLE newer ()", "a")
    assert await migrate(pool, [*migrations(), newer]) == ["9001_newer.sql"]
    assert await migrate(pool) == []


async def test_an_unreachable_server_is_an_outage(postgres_settings: dict[str, Any]) -> None:
    """A server that is not there (yet) is worth waiting for."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Outage, match="does not answer"):
            await open_pool(load_settings(**{**postgres_settings, "postgres_port": unused.getsockname()[1]}))


async def test_a_server_that_speaks_no_postgres_is_an_outage(postgres_settings: dict[str, Any]) -> None:
    """Something else listens there, for now."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = {"postgres_host": "127.0.0.1", "postgres_port": server.sockets[0].getsockname()[1]}
        with pytest.raises(Outage, match="does not answer"):
            await open_pool(load_settings(**{**postgres_settings, **address}))


async def test_an_address_that_is_none_is_fatal(postgres_settings: dict[str, Any]) -> None:
    """Waiting does not mend a host's name that no name server can be asked for."""
    with pytest.raises(Fatal, match="check POSTGRES_HOST"):
        await open_pool(load_settings(**{**postgres_settings, "postgres_host": "a" * 64 + ".example"}))


@pytest.mark.parametrize(
    "wrong", [{"postgres_password": "not-the-s3cret"}, {"postgres_db": "no_such_database"}, {"postgres_user": "nobody"}]
)
async def test_a_refused_login_is_fatal_and_keeps_the_password(
    postgres_settings: dict[str, Any], wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong user, password or database names the variables to check, and never the password."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Fatal, match="check POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB") as raised:
        await open_pool(load_settings(**{**postgres_settings, **wrong}))
    password = {**postgres_settings, **wrong}["postgres_password"]
    assert password not in str(raised.value) + caplog.text


async def test_a_killed_connection_is_an_outage_and_the_next_call_works(pool: asyncpg.Pool) -> None:
    """A connection that the server ends costs one statement; the pool opens another."""
    with pytest.raises(Outage), answering("dying"):
        await pool.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT 'x'::integer", "SELECT 1e30::numeric(24, 6)"])
async def test_a_value_that_cannot_be_stored_is_a_bad_record(pool: asyncpg.Pool, statement: str) -> None:
    """Trying such a value again is useless."""
    with pytest.raises(BadRecord), answering("storing"):
        await pool.execute(statement)


async def test_a_missing_table_is_waited_for(pool: asyncpg.Pool) -> None:
    """A schema in the middle of a repair loses no alert."""
    with pytest.raises(Outage), answering("reading"):
        await pool.execute("SELECT * FROM no_such_table")
