"""The embedded servers serve, keep what they should, and never outlive who started them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from streams.errors import Fatal
from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.process import Child
from streams.local.embedded.valkey import EmbeddedRedis

OWNER_OF_ALL = """
import json, sys, time
from pathlib import Path
from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import EmbeddedRedis
servers = [EmbeddedBroker(), EmbeddedRedis(), EmbeddedPostgres(Path(sys.argv[1]), durable=False)]
print(json.dumps([server.child.pid for server in servers]), flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for the condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def connect(postgres: EmbeddedPostgres) -> asyncpg.Connection:
    """Connect to the embedded Postgres."""
    return await asyncpg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        database=postgres.database,
    )


async def test_broker_keeps_what_is_sent_in_partitions(fresh_broker: EmbeddedBroker) -> None:
    """A topic appears on first use with four partitions, and gives back its messages."""
    async with AIOKafkaProducer(bootstrap_servers=fresh_broker.address, acks="all") as producer:
        await producer.send_and_wait("first-use", b"value", key=b"key")
    consumer = AIOKafkaConsumer("first-use", bootstrap_servers=fresh_broker.address, auto_offset_reset="earliest")
    async with consumer:
        message = await consumer.getone()
        assert (message.key, message.value) == (b"key", b"value")
        assert len(consumer.assignment()) == PARTITIONS


async def test_broker_listens_on_loopback_only(broker_address: str) -> None:
    """The embedded broker has no authentication, so nobody but this machine reaches it."""
    assert broker_address.startswith("127.0.0.1:")


async def test_a_redis_with_a_password_lets_nobody_else_in() -> None:
    """And nobody reads it among the arguments of processes."""
    with EmbeddedRedis(password="pass-word_of-a-test") as server:
        async with Redis.from_url(server.url) as redis:
            assert await redis.ping()
        async with Redis(host=server.host, port=server.port) as redis:
            with pytest.raises(AuthenticationError):
                await redis.get("x")
        assert "pass-word" not in Path(f"/proc/{server.child.pid}/cmdline").read_text()


async def test_redis_is_emptied_between_tests(redis_url: str) -> None:
    """Each test meets an empty Redis."""
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() == 0
        await redis.set("left", "behind")


test_redis_is_emptied_between_tests_again = test_redis_is_emptied_between_tests


async def test_each_test_gets_a_database_of_its_own(postgres_settings: dict[str, Any]) -> None:
    """The settings of the fixture open an empty database."""
    names = {name.removeprefix("postgres_"): value for name, value in postgres_settings.items()}
    connection = await asyncpg.connect(database=names.pop("db"), **names)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == 0


async def test_postgres_keeps_its_data_over_runs(tmp_path: Path) -> None:
    """What one run committed, the next one reads."""
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres:
        connection = await connect(postgres)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres:
        connection = await connect(postgres)
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()


async def test_postgres_asks_for_its_password(tmp_path: Path, postgres_server: EmbeddedPostgres) -> None:
    """Other accounts of the machine do not get in, and the password is readable by its owner only."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=postgres_server.host, port=postgres_server.port, user=postgres_server.user, password="guess"
        )
    assert (postgres_server.directory / "password").stat().st_mode & 0o077 == 0


async def test_postgres_starts_after_a_kill(tmp_path: Path) -> None:
    """A crash leaves a lock file, which stops nothing."""
    directory = tmp_path / "postgres"
    postgres = EmbeddedPostgres(directory, durable=False)
    os.kill(postgres.child.pid, signal.SIGKILL)
    postgres.child.process.wait(timeout=10)
    assert (directory / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres(directory, durable=False) as again:
        connection = await connect(again)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


async def test_postgres_left_running_is_replaced(tmp_path: Path) -> None:
    """A server that an earlier run left on the directory is ended before a new one starts."""
    directory = tmp_path / "postgres"
    left = EmbeddedPostgres(directory, durable=False)
    with EmbeddedPostgres(directory, durable=False) as postgres:
        wait_for(lambda: left.child.exit_code is not None)
        connection = await connect(postgres)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


def test_lock_file_of_another_program_is_stale(tmp_path: Path) -> None:
    """After a reboot the process id in the lock file may be anybody's: it is left alone."""
    directory = tmp_path / "postgres"
    EmbeddedPostgres(directory, durable=False).stop()
    (directory / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{directory}/data\n")
    with EmbeddedPostgres(directory, durable=False) as postgres:
        assert postgres.child.exit_code is None


def test_half_made_database_is_made_anew(tmp_path: Path) -> None:
    """A first start that was killed leaves nothing that the second takes for a database."""
    directory = tmp_path / "postgres"
    (directory / "data.new").mkdir(parents=True)
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(directory, durable=False) as postgres:
        assert postgres.child.exit_code is None


def test_long_data_directory(tmp_path: Path) -> None:
    """Paths longer than a socket's name may be are fine."""
    directory = tmp_path / ("long" * 30) / ("longer" * 20)
    with EmbeddedPostgres(directory, durable=False) as postgres:
        assert postgres.child.exit_code is None


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal exists on Linux only")
def test_servers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """`kill -9` of the process that started them leaves none of them behind."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER_OF_ALL, str(tmp_path / "postgres")], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pids = json.loads(owner.stdout.readline())
        assert all(is_alive(pid) for pid in pids)
        owner.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_child_that_will_not_end_is_killed() -> None:
    """A child that ignores the request to end is killed after its grace, with its whole group."""
    script = "import signal, subprocess, sys; signal.signal(15, signal.SIG_IGN)\n"
    script += "print(subprocess.Popen(['sleep', '600']).pid, flush=True); signal.pause()"
    child = Child("stubborn", [sys.executable, "-c", script], first_line=True)
    grandchild = int(child.read_first_line(10))
    assert child.stop(grace_seconds=0.2) == -signal.SIGKILL
    wait_for(lambda: not is_alive(grandchild))


def test_obituary_names_the_cause(tmp_path: Path) -> None:
    """A child that fails is described by its exit code and its last words."""
    child = Child("the worker", [sys.executable, "-c", "import sys; sys.exit('no partitions')"], log=tmp_path / "log")
    child.process.wait(timeout=20)
    child.kill()
    assert child.obituary() == f"the worker ended with code 1: no partitions (log: {tmp_path / 'log'})"


def test_what_a_killed_child_wrote_last_is_not_called_the_cause(tmp_path: Path) -> None:
    script = "import os; print('an alert', flush=True); os.kill(os.getpid(), 9)"
    child = Child("the worker", [sys.executable, "-c", script], log=tmp_path / "log")
    child.process.wait(timeout=20)
    child.kill()
    said = "the worker ended by SIGKILL; the last line that it wrote: an alert"
    assert child.obituary() == f"{said} (log: {tmp_path / 'log'})"


def test_program_that_is_missing(tmp_path: Path) -> None:
    """A program that cannot be run is named."""
    child = Child("the broker", [str(tmp_path / "missing")], first_line=True, log=tmp_path / "log")
    with pytest.raises(Fatal, match="missing cannot be run: No such file"):
        child.read_first_line(10)
    child.kill()
