"""Members of a real group that are not as this program's: a stranger, and a worker of an earlier release."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streams.kafka.members import member_hosts
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from tests.conftest import new_database
from tests.faults.previous import checked_out, run_as
from tests.faults.processes import Process
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HEADERS, HOST, TOKEN, Answer, View, ask, eventually, is_whole, several_workers

TOKEN_SENDERS = "bca4cd5"
"""The last commit whose workers send the token to each other."""


@pytest.fixture
def view(postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str) -> Iterator[View]:
    """Give the stack, whose log holds all that a log may hold."""
    with several_workers(tmp_path, new_database(postgres_server), redis_url, LOG_LEVEL="debug") as view:
        yield view


@pytest.fixture
def heard() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Give the port of a server that is no worker, and what was asked there: target and headers."""
    found: list[tuple[str, str]] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.append((self.path, str(self.headers)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], found
    server.shutdown()
    server.server_close()


def get(worker: Process, path: str, **query: Any) -> Answer:
    """Ask a worker with the token."""
    return ask(worker.port, path, query, headers=HEADERS)


def sources(answer: Answer) -> dict[str, str]:
    """Return the source of each market's row."""
    return {row["symbol"]: row["source"] for row in answer.json}


def test_a_member_that_advertises_an_address_learns_no_token(
    view: View, heard: tuple[int, list[tuple[str, str]]]
) -> None:
    """What it is sent opens nothing, neither where it came from nor on another worker. Nothing is in the log."""
    port, requests = heard
    first = view.start("first")
    # A worker of this program for the group; its address is the stranger's.
    foreign = view.worker("foreign", {"WEB_HOST": "127.0.0.2", "WEB_ADVERTISED_HOST": HOST, "WEB_PORT": str(port)})
    foreign.start()

    def is_asked() -> bool:
        return get(first, "/api/windows").status == 200 and bool(requests)

    eventually(is_asked, "the stranger to be asked", 40)
    assert asyncio.run(member_hosts(load_settings(kafka_bootstrap_servers=view.broker.address))) == {HOST}
    asked = list(requests)
    proofs = [(target, dict(line.split(": ", 1) for line in sent.splitlines() if line)) for target, sent in asked]
    assert all(sent["Authorization"].startswith("Liqmon-Peer 1.") for _, sent in proofs)
    assert TOKEN not in str(asked)
    for target, sent in proofs:
        for host in (sent["Host"], f"{HOST}:{first.port}"):
            headers = {"Authorization": sent["Authorization"], "Host": host}
            assert ask(first.port, target, headers=headers).status == 401
    for process in (first, foreign):
        assert "group_assignment" not in process.log_text(), "the group's secret is in what members send"
        assert "user_data" not in process.log_text()


def test_releases_show_each_other_during_an_upgrade(view: View, tmp_path: Path, redis_url: str) -> None:
    """One that sends the token is not asked with it, and shows this one's markets; this one shows its copies.

    Nobody fails. When all are replaced, everything is whole again.
    """
    earlier = checked_out(tmp_path / "earlier", TOKEN_SENDERS)
    trades = SCENARIOS["several markets"](3)
    wanted = {symbol for _, symbol in Oracle(trades).markets()}
    first, second = view.worker("first"), view.worker("second")
    for worker in (first, second):
        run_as(worker, earlier)
        worker.environment = {**worker.environment, "LOG_LEVEL": "info"}
        worker.start()
    for worker in (first, second):
        worker.wait_ready()

    def shares() -> list[int]:
        rows = get(second, "/api/workers").json["rows"]
        return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])

    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    view.publish(trades)
    view.settle([first, second], len(trades))
    eventually(lambda: sources(get(second, "/api/windows")).keys() == wanted, "all markets")
    first.stop_well()
    run_as(first, Path(__file__).parents[4])
    first.start()
    first.wait_ready()
    eventually(lambda: shares() == [2, 2], "both to have two partitions again", 40)

    def is_shown(worker: Process, others: str) -> bool:
        answer = get(worker, "/api/windows", window_seconds=300)
        assert answer.status == 200, answer
        found = sources(answer)
        return found.keys() == wanted and set(found.values()) == {"memory", others}

    eventually(lambda: is_shown(first, "redis"), "copies of the earlier release's markets", 40)
    eventually(lambda: is_shown(second, "peer"), "this release's markets", 40)
    notes = get(first, "/api/windows").headers["x-liqmon-notes"]
    assert f"{HOST}:{second.port} does not accept this worker" in notes
    assert "from Redis, up to" in notes
    assert {row["url"]: row["answering"] for row in get(first, "/api/workers").json["rows"]} == {
        f"http://{HOST}:{first.port}": True,
        f"http://{HOST}:{second.port}": False,
    }
    for worker in (first, second):
        for path in ("/api/windows", "/api/workers", "/api/alerts"):
            assert get(worker, path).status == 200
        for symbol in wanted:
            venue = next(row["venue"] for row in get(first, "/api/windows").json if row["symbol"] == symbol)
            assert get(worker, "/api/panes", venue=venue, symbol=symbol).status in (200, 503)
        assert "Traceback" not in worker.log_text()

    second.stop_well()
    run_as(second, Path(__file__).parents[4])
    second.start()
    second.wait_ready()
    eventually(lambda: shares() == [2, 2], "both to have two partitions at the end", 40)
    for worker in (first, second):
        eventually(lambda worker=worker: is_shown(worker, "peer"), "the other's markets", 40)  # type: ignore[misc]
        eventually(lambda worker=worker: is_whole(get(worker, "/api/windows")), "no note", 40)  # type: ignore[misc]
