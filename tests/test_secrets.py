"""No secret is where others read: in logs, metrics, pages, the arguments of processes, tracebacks."""

import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import EmbeddedRedis
from streams.settings import Settings
from tables.web.pages import PAGES
from tests.conftest import new_database
from tests.faults.processes import Process, http_get, wait_until
from tests.kafka.server import HOST
from tests.machine import below
from tests.recordings import SCENARIOS
from tests.view import View, ask, eventually

MARK = "aKindOfSecret"
CLOSED = f"{HOST}:9"
SECRETS = [name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
PATHS = (
    *PAGES,
    *("/metrics", "/healthz", "/readyz", "/api/openapi.json"),
    *("/api/windows", "/api/panes", "/api/alerts", "/api/workers", "/api/no-such", "/api/alerts?format=csv"),
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="arguments are read in /proc")


class Readable:
    """What others read of processes, and the secrets that must not be in it."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.secrets = secrets
        self.texts: dict[str, str] = {}

    def add_pages(self, process: Process, headers: dict[str, str], paths: Sequence[str] = PATHS) -> None:
        """Take pages, with their headers."""
        for path in paths:
            answer = ask(process.port, path, headers=headers)
            self.texts[f"{process.name} {path} {sorted(headers)}"] = f"{answer.headers}{answer.body.decode()}"

    def add_stream(self, process: Process, headers: dict[str, str]) -> None:
        """Take the first events of the stream."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection((HOST, process.port), timeout=5) as client, suppress(TimeoutError):
            client.sendall(f"GET /api/stream HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n".encode())
            client.settimeout(1)
            found = b""
            while b"event: status" not in found:
                found += client.recv(65536)
        self.texts[f"{process.name} stream"] = found.decode(errors="replace")

    def add_arguments(self) -> None:
        """Take the arguments of every process that the tests have started, servers too."""
        for pid in below(os.getpid()):
            with suppress(OSError):
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                self.texts[f"arguments of {pid}: {arguments[:60]}"] = arguments

    def shown(self) -> list[tuple[str, str]]:
        """Return which secret is where."""
        return [
            (name, place)
            for place, text in self.texts.items()
            for name, secret in self.secrets.items()
            if secret in text or MARK in text
        ]


@pytest.fixture
def secrets(postgres_server: EmbeddedPostgres) -> dict[str, str]:
    """Give a secret for each setting that is one, and for those that may hold one."""
    holders = [*SECRETS, "PRODUCER_URLS", "SPOT_WS_URL", "FUTURES_WS_URL", "TABLE_STORE", "REDIS_URL"]
    made = {name: f"{MARK}-{name.lower().replace('_', '-')}-0123456789" for name in holders}
    # A login at a broker without one is refused; tests/secured/test_everything.py looks for that secret.
    del made["KAFKA_SASL_PASSWORD"]
    return made | {"POSTGRES_PASSWORD": postgres_server.password}


@pytest.fixture
def redis(secrets: dict[str, str]) -> Iterator[EmbeddedRedis]:
    """Give a Redis that asks for its password."""
    with EmbeddedRedis(password=secrets["REDIS_URL"]) as redis:
        yield redis


def with_secrets(secrets: dict[str, str], redis: EmbeddedRedis, producer_port: int) -> dict[str, str]:
    """Return the environment of a worker and a producer."""
    return secrets | {
        "REDIS_URL": redis.url,
        "TABLE_STORE": redis.url.removesuffix("/0") + "/1",
        "DISCORD_WEBHOOK_URL": f"http://{CLOSED}/api/webhooks/1/{secrets['DISCORD_WEBHOOK_URL']}",
        "DISCORD_WEBHOOK_URL_2": f"http://{CLOSED}/api/webhooks/2/{secrets['DISCORD_WEBHOOK_URL_2']}",
        "PRODUCER_URLS": f"http://me:{secrets['PRODUCER_URLS']}@{HOST}:{producer_port}",
        "FEED": "live",
        "SPOT_WS_URL": f"ws://me:{secrets['SPOT_WS_URL']}@{CLOSED}/v2?key={secrets['SPOT_WS_URL']}",
        "FUTURES_WS_URL": f"ws://me:{secrets['FUTURES_WS_URL']}@{CLOSED}/ws/v1?key={secrets['FUTURES_WS_URL']}",
        "LOG_LEVEL": "debug",
    }


def test_no_secret_is_shown(
    tmp_path: Path, postgres_server: EmbeddedPostgres, secrets: dict[str, str], redis: EmbeddedRedis
) -> None:
    """Not at work, not to who has the token, and not while Redis and Discord do not answer."""
    readable = Readable(secrets)
    with View(tmp_path, new_database(postgres_server)) as view:
        producer = view.producer("producer")
        environment = with_secrets(secrets, redis, producer.port) | {"POSTGRES_PASSWORD": postgres_server.password}
        producer.environment = environment | dict(producer.environment)
        producer.start()
        worker = view.start("worker", **environment)
        trades = SCENARIOS["several markets"](5)
        view.publish(trades[:-100])
        view.settle([worker], len(trades) - 100)
        token = {"Authorization": f"Bearer {secrets['WEB_TOKEN']}"}
        eventually(
            lambda: (
                any(row["delivery"] != "pending" for row in ask(worker.port, "/api/alerts", headers=token).json)
                or "Discord" in worker.log_text()
            ),
            "Discord to be tried",
        )
        for headers in ({}, token):
            readable.add_pages(worker, headers)
        readable.add_pages(worker, {"Authorization": "Bearer wrong"}, ("/", "/api/workers"))
        readable.add_stream(worker, token)
        (row,) = ask(worker.port, "/api/workers", headers=token).json["producers"]
        assert row["url"] == f"http://{HOST}:{producer.port}"
        assert row["answering"]
        for path in ("/metrics", "/healthz", "/readyz", "/no-such"):
            readable.texts[f"producer {path}"] = http_get(producer.port, path)[1]
        readable.add_arguments()
        redis.stop()
        view.publish(trades[-100:])
        wait_until(lambda: "does not answer" in worker.log_text(), 20, "the worker to miss Redis")
        readable.add_pages(worker, token | {"X-Test": "without Redis"}, ("/metrics", "/readyz", "/api/workers"))
        # It would wait for the Redis that has its tables.
        worker.kill()
        producer.stop()
        readable.texts |= {one.name: one.log_text() for one in (worker, producer)}
    assert len(readable.texts) > 40
    assert readable.shown() == []


WRONG = {
    "SPOT_WS_URL": f"http://me:{MARK}@{HOST}:9/v2?key={MARK}",
    "TABLE_STORE": f"redis://me:{MARK}@{HOST}:none/0",
    "REDIS_URL": f"http://me:{MARK}@{HOST}:9/0",
    "POSTGRES_PASSWORD": MARK,
    "WEB_TOKEN": MARK,
    "WEB_PEER_SECRET": MARK,
    "KAFKA_BOOTSTRAP_SERVERS": f"me:{MARK}@{HOST}",
}


def test_a_wrong_value_is_not_shown(tmp_path: Path, postgres_server: EmbeddedPostgres) -> None:
    """The line that refuses it says what it must be, and nothing of what it was."""
    with View(tmp_path, new_database(postgres_server)) as view:
        started = {}
        for name, value in WRONG.items():
            environment = {"FEED": "live", name: value}
            make = view.producer if name == "SPOT_WS_URL" else view.worker
            started[name] = make(name.lower(), environment=environment)

        for process in started.values():
            process.start()
        with ThreadPoolExecutor(len(started)) as threads:
            codes = list(threads.map(lambda process: process.wait(30), started.values()))
        texts = {name: process.log_text() for name, process in started.items()}
    assert all(codes)
    assert {name for name, text in texts.items() if MARK in text} == set()
