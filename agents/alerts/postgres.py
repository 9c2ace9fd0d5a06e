"""The connection to Postgres: a pool, migrations that run once however many workers start, and what an error means."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg

from agents.alerts.connecting import connect, refusal, tls_of
from streams.errors import BadRecord, Fatal, MonitorError, Outage
from streams.settings import Settings
from streams.unexpected import Library

T = TypeVar("T")

DEADLOCKS: Final = 5
"""How often a transaction that Postgres undid is done again at once. Each takes it a second to find."""

log = logging.getLogger(__name__)

# A login takes milliseconds. After this long the server counts as away, and is tried again.
CONNECT_TIMEOUT_SECONDS: Final = 5.0
# Every statement of the program takes milliseconds. One that takes this long means a server that is gone.
COMMAND_TIMEOUT_SECONDS: Final = 10.0
# Another worker may be migrating a large table while this one waits for the lock.
MIGRATION_TIMEOUT_SECONDS: Final = 600.0
# The key of the advisory lock: "liqmon" in ASCII. No other program on the database may use it.
MIGRATION_LOCK: Final = 0x6C69716D6F6E
# Recorder, notifier, sampler and readiness use one connection each. The rest is for pages.
POOL_MAX_SIZE: Final = 8

POSTGRES: Final = Library(
    "the Postgres client",
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    EOFError,
)

# A host's name that nobody can look up: waiting does not mend it either.
UNUSABLE_ADDRESS: Final = (asyncpg.ClientConfigurationError, UnicodeError)
LOCK: Final = "SELECT pg_advisory_xact_lock($1)"

# Hypertables and the width of their chunks. An alert is rare, a sample is written every few seconds.
HYPERTABLES: Final = {"liquidation_alerts": ("timestamp", "30 days"), "window_stats": ("sampled_at", "1 day")}


class Migration(NamedTuple):
    """One numbered SQL file. ``checksum`` is the SHA-256 of its text, line ends normalised."""

    version: int
    name: str
    sql: str
    checksum: str


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turn asyncpg's errors into the program's; ``what`` was being done.

    Raises :class:`BadRecord` where client or server finds that a value cannot be stored. Raises :class:`Outage` for
    every other error, such as a lost connection, a timeout, a full disk or a missing table. Waiting loses nothing.
    """
    try:
        yield
    except MonitorError:
        raise
    except (asyncpg.DataError, asyncpg.exceptions._base.DataError, OverflowError) as error:
        raise BadRecord("magnitude", f"{what}: {error}") from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise BadRecord("wrong_type", f"{what}: {error}") from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise Outage(f"{what}: Postgres is read-only: {error}") from error
    except Exception as error:
        POSTGRES.notice(error)
        raise Outage(f"{what}: Postgres does not answer: {type(error).__name__}: {error}") from error


async def not_deadlocked(work: Callable[[], Awaitable[T]]) -> T:
    """Do what is one transaction, and at once again where Postgres undid it so that another could go on.

    Rows of alerts and their messages are written in the order of events, and claimed by severity: two may wait for each
    other. One of them goes on. Raises what ``work`` raises, and the last deadlock of several.
    """
    for _ in range(DEADLOCKS):
        with suppress(asyncpg.DeadlockDetectedError):
            return await work()
    return await work()


async def leave_read_only(pool: asyncpg.Pool, error: Outage) -> None:
    """Have the pool open new connections where an outage is that of a server that takes no writes.

    A connection stays as it began: with a server that was the primary once, and read-only where the database was.
    """
    if isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
        await pool.expire_connections()


async def open_pool(settings: Settings) -> asyncpg.Pool:
    """Connect and migrate, and return the pool.

    Raises :class:`Outage` where the server does not answer (yet). Raises :class:`Fatal` where it refuses the user, the
    password or the database, or where the migrations do not fit.
    """
    # Read before anybody is asked: an installation without them is no matter of the server.
    steps = migrations()
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    pool = asyncpg.create_pool(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value() or None,
        database=settings.postgres_db,
        ssl=tls_of(settings),
        connect=connect,
        # Connections open when they are needed and then stay: an alert should not wait for one. asyncpg would restore a
        # smaller number by itself, with a traceback in the log for every failure.
        min_size=0,
        max_size=POOL_MAX_SIZE,
        max_inactive_connection_lifetime=0,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings={"application_name": "liqmon", "timezone": "UTC"},
    )
    try:
        with answering(f"connecting to {address}"):
            await pool
            await migrate(pool, steps)
    except BaseException as error:
        pool.terminate()
        if error.__cause__ is not None and (reason := refusal(error.__cause__, settings)):
            raise Fatal(f"Postgres at {address} refuses the connection: {reason}") from None
        if isinstance(error, BadRecord) or isinstance(error.__cause__, UNUSABLE_ADDRESS):
            raise Fatal(f"Postgres at {address} cannot be used: {error.__cause__}; check POSTGRES_HOST") from None
        raise
    return pool


def migrations() -> list[Migration]:
    """Return the migrations shipped with the program, in order."""
    found = []
    for entry in resources.files("agents.alerts").joinpath("migrations").iterdir():
        number, _, rest = entry.name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            sql = entry.read_text(encoding="utf-8").replace("\r\n", "\n")
            found.append(Migration(int(number), entry.name, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return sorted(found)


async def migrate(pool: asyncpg.Pool, steps: list[Migration] | None = None) -> list[str]:
    """Bring the schema up to date and return the names of the migrations that this call applied.

    All of them run in one transaction under an advisory lock. Workers that start together wait for one another, and a
    crash half way leaves nothing. Raises :class:`Fatal` where a migration that ran before has been edited since.
    """
    wanted = migrations() if steps is None else steps
    with answering("migrating the database"):
        async with pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            applied = await _migrate(connection, wanted)
            await _make_hypertables(connection)
    for name in applied:
        log.info("migrated the database: %s", name)
    return applied


async def _migrate(connection: Any, wanted: list[Migration]) -> list[str]:
    applied: list[str] = []
    async with connection.transaction():
        await connection.execute(LOCK, MIGRATION_LOCK, timeout=MIGRATION_TIMEOUT_SECONDS)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await connection.fetch("SELECT version, name, checksum FROM schema_migrations")
        present = {row["version"]: row for row in rows}
        for step in wanted:
            row = present.get(step.version)
            if row is None:
                try:
                    await connection.execute(step.sql, timeout=MIGRATION_TIMEOUT_SECONDS)
                except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
                    raise Fatal(f"migration {step.name} fails on this database: {error}") from error
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    step.version, step.name, step.checksum,
                )  # fmt: skip
                applied.append(step.name)
            elif row["checksum"] != step.checksum:
                raise Fatal(
                    f"migration {step.name} was edited after it ran on this database (as {row['name']}); "
                    "restore the file as it was and put the change into a new migration"
                )
    return applied


async def _make_hypertables(connection: Any) -> None:
    """Turn the time series into hypertables where TimescaleDB is present. A database without it keeps plain tables."""
    available = await connection.fetchval("SELECT true FROM pg_available_extensions WHERE name = 'timescaledb'")
    if not available:
        return
    try:
        async with connection.transaction():
            await connection.execute(LOCK, MIGRATION_LOCK, timeout=MIGRATION_TIMEOUT_SECONDS)
            await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            for table, (column, chunk) in HYPERTABLES.items():
                await connection.execute(
                    f"SELECT create_hypertable('{table}', '{column}', chunk_time_interval => interval '{chunk}',"
                    " if_not_exists => true, migrate_data => true)",
                    timeout=MIGRATION_TIMEOUT_SECONDS,
                )
    except asyncpg.PostgresError as error:
        log.warning("TimescaleDB is installed but cannot be used; plain tables are used instead: %s", error)
