"""Several workers: any of them answers for all, and one that is gone costs its rows, with a note."""

from collections.abc import Iterator
from typing import Any

import pytest

from streams.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.kafka.server import RealKafka
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HOST, Answer, View, ask, eventually

TOKEN = "a token of the operator's"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def view(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """Give a stack whose workers ask for a token, as in a network."""
    reason = RealKafka.available()
    if reason is not None:
        pytest.skip(f"not covered: several workers need a real Kafka ({reason})")
    directory = tmp_path_factory.mktemp("replicas")
    database = new_database(postgres_server)
    with RealKafka(directory / "kafka") as kafka, View(directory, database, broker=kafka, WEB_TOKEN=TOKEN) as view:
        yield view


def get(worker: Process, path: str, **query: Any) -> Answer:
    """Ask a worker with the token."""
    return ask(worker.port, path, query, headers=HEADERS)


def markets(worker: Process) -> dict[tuple[str, str], str]:
    """Return every market that a worker knows of, and the source of its row."""
    rows = get(worker, "/api/windows", window_seconds=300).json
    return {(row["venue"], row["symbol"]): row["source"] for row in rows}


def test_any_replica_answers_for_all(view: View) -> None:
    """Rows, panes and workers are the same from either; killing one costs its rows until the other has them."""
    trades = SCENARIOS["several markets"](3)
    wanted = set(Oracle(trades).markets())
    first, second = view.start("first"), view.start("second")

    def shares() -> list[int]:
        rows = get(first, "/api/workers").json["rows"]
        return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])

    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    view.publish(trades)
    view.settle([first, second], len(trades))

    for worker in (first, second):
        sources = markets(worker)
        assert sources.keys() == wanted
        assert set(sources.values()) == {"memory", "peer"}
    assert same(get(first, "/api/windows").json) == same(get(second, "/api/windows").json)

    remote = next(market for market, source in markets(first).items() if source == "peer")
    query = {"venue": remote[0], "symbol": remote[1], "from": 0}
    there, here = get(second, "/api/panes", **query).json, get(first, "/api/panes", **query).json
    assert (there["source"], here["source"]) == ("memory", "peer")
    assert here["rows"] == there["rows"] != []
    assert here["owner"] == f"http://{HOST}:{second.port}"
    assert get(first, "/api/panes", format="csv", **query).body == get(second, "/api/panes", format="csv", **query).body

    assert ask(first.port, "/api/windows", {"scope": "local"}).status == 401

    second.kill()
    answer = get(first, "/api/windows", window_seconds=300)
    assert {(row["venue"], row["symbol"]) for row in answer.json} < wanted
    assert f"{HOST}:{second.port} does not answer" in answer.headers["x-liqmon-notes"]
    assert get(first, "/api/panes", **query).status == 503
    silent = [row for row in get(first, "/api/workers").json["rows"] if not row["answering"]]
    assert [row["url"] for row in silent] == [f"http://{HOST}:{second.port}"]

    eventually(lambda: markets(first) == dict.fromkeys(wanted, "memory"), "the other's markets to move here", 40)
    # What the killed worker had not committed is counted again from the topic.
    eventually(lambda: get(first, "/api/panes", **query).json["rows"] == there["rows"], "the same panes", 20)

    # After a restart the markets are shown before they trade again.
    before = same(get(first, "/api/windows").json)
    assert first.stop() == 0
    first.start()
    first.wait_ready()
    assert same(get(first, "/api/windows").json) == before


def same(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without what depends on who is asked, and when."""
    kept = [{name: value for name, value in row.items() if name not in {"source", "age_seconds"}} for row in rows]
    for row in kept:
        row.pop("owner")
    return kept
