"""Real servers for every test: a broker, a Redis and a Postgres from wheels, started once and stopped at the end."""

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from streams import unexpected
from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.programs import binary_directory
from streams.local.embedded.valkey import EmbeddedRedis
from streams.settings import Settings, VenueSettings
from streams.settings_sources import MODEL_CONFIG
from tests.alone import Turns

# The developer's own settings stay out of the tests, from the environment as from ``.env``. Test modules and fixtures
# of a session read settings too, before any fixture of a test.
MODEL_CONFIG["env_file"] = None
for kind in (Settings, VenueSettings):
    kind.model_config["env_file"] = None
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)

# The same examples in every run, so that a failure is everyone's; HYPOTHESIS_PROFILE=search looks for new ones and
# prints how to see them again.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None, print_blob=True)
hypothesis.settings.register_profile("search", database=None, deadline=None, print_blob=True, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test know which unexpected errors others have met: each is logged once a process."""
    monkeypatch.setattr(unexpected, "_said", set())


@pytest.fixture(autouse=True)
def _share_the_machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let a test that is marked ``alone`` run while the other processes of the run wait."""
    if not hasattr(request.config, "workerinput"):
        yield
        return
    # The directory that all processes of a run have in common.
    turns = Turns(tmp_path_factory.getbasetemp().parent)
    with turns.alone() if request.node.get_closest_marker("alone") else turns.shared():
        yield


@pytest.fixture(scope="session")
def broker_address() -> Iterator[str]:
    """Give the ``host:port`` of the session's broker: use topics and groups of your own, or ``fresh_broker``."""
    with EmbeddedBroker() as broker:
        yield broker.address


@pytest.fixture
def fresh_broker() -> Iterator[EmbeddedBroker]:
    """Give a broker of the test's own, with nothing in it."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """Give the session's Redis."""
    with EmbeddedRedis() as redis:
        yield redis


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Give the URL of the session's Redis, emptied for this test."""
    with socket.create_connection((redis_server.host, redis_server.port), timeout=5) as connection:
        connection.sendall(b"FLUSHALL SYNC\r\n")
        assert connection.recv(16).startswith(b"+OK")
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Give the session's Postgres."""
    directory = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(
        directory / "server", log=directory / "log", durable=False, creates_databases=True
    ) as postgres:
        yield postgres


@pytest.fixture
def postgres_settings(postgres_server: EmbeddedPostgres) -> dict[str, Any]:
    """Give the settings of an empty database of the test's own, for ``load_settings(**postgres_settings)``."""
    return new_database(postgres_server)


def new_database(postgres_server: EmbeddedPostgres) -> dict[str, Any]:
    """Make an empty database and return its settings."""
    database = f"test_{uuid.uuid4().hex}"
    command = [str(binary_directory() / "createdb"), "-h", postgres_server.host, "-p", str(postgres_server.port)]
    environment = os.environ | {"PGPASSWORD": postgres_server.password}
    subprocess.run([*command, "-U", postgres_server.user, database], env=environment, check=True, timeout=30)
    return {
        "postgres_host": postgres_server.host,
        "postgres_port": postgres_server.port,
        "postgres_user": postgres_server.user,
        "postgres_password": postgres_server.password,
        "postgres_db": database,
    }
