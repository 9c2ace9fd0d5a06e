"""A worker or producer with 1024 descriptors, whose port 1100 connections are opened to that never ask for anything."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.faults.processes import Processes, http_get
from tests.kafka.server import HOST, free_ports
from tests.machine import descriptors_raised
from tests.recordings import SCENARIOS
from tests.view import View, ask, eventually

DESCRIPTORS = 1024
IDLE = 1100
ROOT = str(Path(__file__).parents[3])


def limited(command: str) -> list[str]:
    """Return the command that runs ``liqmon`` with few descriptors."""
    return [sys.executable, "-m", "tests.streams.http.limited", str(DESCRIPTORS), command]


@contextmanager
def idle_connections(port: int) -> Iterator[list[socket.socket]]:
    """Open them one after the other, while somebody asks now and then; leave them open in the block."""
    with ExitStack() as stack:
        stack.enter_context(descriptors_raised(2 * IDLE))
        clients = []
        for number in range(IDLE):
            client = stack.enter_context(socket.create_connection((HOST, port), timeout=10))
            client.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"")
            clients.append(client)
            if number % 50 == 0:
                assert http_get(port, "/healthz")[0] == 200
        yield clients


def test_a_worker_goes_on(tmp_path: Path, postgres_server: EmbeddedPostgres) -> None:
    """It answers, counts and commits throughout, and holds fewer connections than would stop it."""
    (port,) = free_ports(1)
    environment = {"WEB_HOST": HOST, "WEB_PORT": str(port), "DATA_DIR": str(tmp_path / "data")}
    with View(tmp_path, new_database(postgres_server), PYTHONPATH=ROOT) as view:
        worker = view.add("worker", limited("worker"), environment=environment, port=port).start()
        worker.wait_ready()
        trades = SCENARIOS["several markets"](5)
        view.publish(trades[:1000])
        view.settle([worker], 1000)
        with idle_connections(worker.port):
            assert worker.metric("liqmon_web_connections") < DESCRIPTORS - 256
            before = sum(one["committed_offset"] or 0 for one in partitions(worker.port))
            view.publish(trades[1000:])
            view.settle([worker], len(trades))
            eventually(
                lambda: (
                    sum(one["committed_offset"] or 0 for one in partitions(worker.port)) > before
                    and all(not one["lag"] for one in partitions(worker.port))
                ),
                "what came meanwhile to be committed",
            )
            began = time.monotonic()
            assert all(ask(worker.port, "/api/windows").status == 200 for _ in range(20))
            assert time.monotonic() - began < 5
        assert "Too many open files" not in worker.log_text()


def partitions(port: int) -> list[dict[str, int]]:
    """Return what the worker says of its partitions."""
    found: list[dict[str, int]] = ask(port, "/api/workers").json["rows"][0]["partitions"]
    return found


@pytest.mark.timeout(60)
def test_a_producer_answers(tmp_path: Path, broker_address: str) -> None:
    """Its port is limited in the same way."""
    (port,) = free_ports(1)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker_address,
        "CREATE_TOPICS": "false",
        "PYTHONPATH": ROOT,
        "WEB_HOST": HOST,
        "PRODUCER_METRICS_PORT": str(port),
        "FEED": "live",
        "SPOT_WS_URL": f"ws://{HOST}:9/v2",
        "FUTURES_WS_URL": f"ws://{HOST}:9/ws/v1",
    }
    with Processes(tmp_path, environment) as processes:
        producer = processes.add("producer", limited("produce"), port=port).start()
        eventually(lambda: http_get(producer.port, "/healthz")[0] == 200, "the producer to answer")
        with idle_connections(producer.port):
            assert producer.metric("liqmon_web_connections") < DESCRIPTORS - 128
            assert http_get(producer.port, "/healthz")[0] == 200
        assert "Too many open files" not in producer.log_text()
