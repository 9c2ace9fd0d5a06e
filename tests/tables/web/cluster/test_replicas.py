"""Several workers: any of them answers for all, and one that is gone costs its rows, with a note."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from streams.local.embedded.postgres import EmbeddedPostgres
from tables.market.values import FIGURE_NAMES
from tests.conftest import new_database
from tests.faults.processes import Process, wait_until
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HEADERS, HOST, Answer, View, answered, ask, eventually, is_whole, several_workers


@pytest.fixture
def view(postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str) -> Iterator[View]:
    """Give the stack of them; one that is killed has committed nothing, and what it counted is counted again."""
    database = new_database(postgres_server)
    with several_workers(tmp_path, database, redis_url, COMMIT_INTERVAL_SECONDS="60") as view:
        yield view


def get(worker: Process, path: str, **query: Any) -> Answer:
    """Ask a worker with the token."""
    return ask(worker.port, path, query, headers=HEADERS)


def whole(worker: Process, path: str, **query: Any) -> Answer:
    """Ask a worker until its answer lacks nothing of the others."""
    return answered(lambda: get(worker, path, **query), is_whole, f"all of {path}")


def markets(answer: Answer) -> dict[tuple[str, str], str]:
    """Return every market that a worker knows of, and the source of its row."""
    return {(row["venue"], row["symbol"]): row["source"] for row in answer.json if row["window_seconds"] == 300}


def test_any_replica_answers_for_all(view: View, redis_url: str) -> None:
    """Rows, panes and workers are the same from either.

    A killed worker's rows come from Redis, and say so; without that copy they are missing, with a note, until the
    other worker has them.
    """
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
        sources = markets(whole(worker, "/api/windows"))
        assert sources.keys() == wanted
        assert set(sources.values()) == {"memory", "peer"}
    assert same(whole(first, "/api/windows").json) == same(whole(second, "/api/windows").json)

    sources_before = markets(whole(first, "/api/windows"))
    remote = next(market for market, source in sources_before.items() if source == "peer")
    query = {"venue": remote[0], "symbol": remote[1], "from": 0}
    there, here = whole(second, "/api/panes", **query).json, whole(first, "/api/panes", **query).json
    assert (there["source"], here["source"]) == ("memory", "peer")
    assert here["rows"] == there["rows"] != []
    assert here["owner"] == f"http://{HOST}:{second.port}"
    csv = {**query, "format": "csv"}
    assert whole(first, "/api/panes", **csv).body == whole(second, "/api/panes", **csv).body

    assert ask(first.port, "/api/windows", {"scope": "local"}).status == 401

    before = same(whole(first, "/api/windows").json)
    wait_until(lambda: copied(redis_url, before), 20, "live windows to be in Redis")
    with view.broker_frozen():
        second.kill()
        with_copies = answered(
            lambda: get(first, "/api/windows"), lambda answer: same(answer.json) == before, "the copies from Redis"
        )
        copies = [row for row in with_copies.json if row["source"] == "redis"]
        assert {row["owner"] for row in copies} == {f"http://{HOST}:{second.port}"}
        assert all(0 <= row["copy_age_seconds"] < 60 for row in copies)
        assert len(copies) == sum(source == "peer" for source in sources_before.values()) * 4
        assert f"{HOST}:{second.port} does not answer" in with_copies.headers["x-liqmon-notes"]
        assert re.search("(is a copy|are copies) from Redis, up to", with_copies.headers["x-liqmon-notes"])
        assert {row["symbol"] for row in streamed(first, len(wanted)) if row["copied"]} == {
            row["symbol"] for row in copies
        }

        redis.Redis.from_url(redis_url).flushall()
        without = get(first, "/api/windows", window_seconds=300)
        assert {(row["venue"], row["symbol"]) for row in without.json} < wanted
        assert "are missing" in without.headers["x-liqmon-notes"]
        assert get(first, "/api/panes", **query).status == 503
        silent = [row for row in get(first, "/api/workers").json["rows"] if not row["answering"]]
        assert [row["url"] for row in silent] == [f"http://{HOST}:{second.port}"]

    own = dict.fromkeys(wanted, "memory")
    meanwhile: list[Answer] = []

    def moved() -> bool:
        meanwhile.append(get(first, "/api/windows"))
        return markets(meanwhile[-1]) == own

    eventually(moved, "the other's markets to move here", 40)
    whole_ones = [answer for answer in meanwhile if is_whole(answer)]
    assert [wanted - markets(answer).keys() for answer in whole_ones if wanted - markets(answer).keys()] == []
    # What the killed worker had not committed is counted again from the topic.
    eventually(lambda: get(first, "/api/panes", **query).json.get("rows") == there["rows"], "the same panes", 20)

    # After a restart the markets are shown before they trade again.
    before = same(whole(first, "/api/windows").json)
    first.stop_well()
    first.start()
    first.wait_ready()
    assert same(get(first, "/api/windows").json) == before


def test_a_window_is_shown_under_its_own_length_whoever_has_it(view: View) -> None:
    """As in a rolling restart that changes WINDOWS: each worker's rows say which windows they hold, and no others."""
    trades = SCENARIOS["several markets"](3)
    oracle = Oracle(trades)
    windows = {"first": [60, 300, 900, 3600], "second": [120, 300, 3600]}
    workers = {name: view.start(name, WINDOWS=",".join(map(str, lengths))) for name, lengths in windows.items()}
    by_port = {workers[name].port: lengths for name, lengths in windows.items()}

    def shares() -> list[int]:
        rows = get(workers["first"], "/api/workers").json["rows"]
        return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])

    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    view.publish(trades)
    view.settle(workers.values(), len(trades))
    for worker in workers.values():
        owners = set()
        for row in streamed(worker, len(oracle.markets())):
            owner = int(row["owner"].rpartition(":")[2])
            owners.add(owner)
            assert row["window_seconds"] == by_port[owner]
            for seconds, values in zip(row["window_seconds"], row["windows"], strict=True):
                figures = oracle.window(row["venue"], row["symbol"], row["pane"], seconds)
                assert values[FIGURE_NAMES.index("count")] == (figures or {"count": 0})["count"]
        assert owners == by_port.keys()
        asked = whole(worker, "/api/windows").json
        assert {(row["owner"].rpartition(":")[2], row["window_seconds"]) for row in asked} == {
            (str(port), seconds) for port, lengths in by_port.items() for seconds in lengths
        }


def same(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without what depends on who is asked, and when."""
    varying = {"source", "age_seconds", "copy_age_seconds", "owner"}
    return [{name: value for name, value in row.items() if name not in varying} for row in rows]


def copied(redis_url: str, rows: list[dict[str, Any]]) -> bool:
    """Whether Redis has as many trades of each market as these rows."""
    server = redis.Redis.from_url(redis_url, decode_responses=True)
    return all(
        server.hget(f"liqmon:window:{row['venue']}:{row['symbol']}", f"{row['window_seconds']}.count")
        == str(row["count"])
        for row in rows
    )


def stored_offset(redis_url: str, panes: dict[str, Any]) -> int:
    """Return how much of the topic a market's state in the table store contains."""
    key = f"liqmon:table:liquidation-monitor:panes:{panes['partition']}:market:{panes['venue']}|{panes['symbol']}"
    value: bytes | None = redis.Redis.from_url(redis_url).hget(key, "head")  # type: ignore[assignment]
    return int.from_bytes(value[:8], "big") if value else -1


def streamed(worker: Process, markets: int) -> list[dict[str, Any]]:
    """Return the rows with which a worker's stream begins, once there are so many."""
    request = urllib.request.Request(f"http://{HOST}:{worker.port}/api/stream", headers=HEADERS)
    rows: dict[str, dict[str, Any]] = {}
    with urllib.request.urlopen(request, timeout=10) as stream:
        for line in stream:
            if line.startswith(b"data: ["):
                rows |= {row["symbol"]: row for row in json.loads(line[6:]) if "windows" in row}
            if len(rows) == markets:
                break
    return list(rows.values())


def test_panes_of_a_silent_owner_come_from_a_table_store_that_all_share(
    postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str
) -> None:
    """As it last stored them, and they say so; a file, which could not say so, waits for it."""
    trades = SCENARIOS["several markets"](3)
    with several_workers(tmp_path, new_database(postgres_server), redis_url, TABLE_STORE=redis_url) as view:
        first, second = view.start("first"), view.start("second")
        eventually(lambda: len(get(first, "/api/workers").json["rows"]) == 2, "the workers to know each other", 40)
        view.publish(trades)
        view.settle([first, second], len(trades))
        remote = next(market for market, source in markets(whole(first, "/api/windows")).items() if source == "peer")
        query = {"venue": remote[0], "symbol": remote[1], "from": 0}
        there = whole(first, "/api/panes", **query).json
        eventually(lambda: stored_offset(redis_url, there) == there["offset"], "the panes to be stored")
        with view.broker_frozen():
            second.kill()
            stored = get(first, "/api/panes", **query).json
            assert stored["source"] == "store"
            assert stored["rows"] == there["rows"] != []
            assert (stored["owner"], stored["offset"]) == (there["owner"], there["offset"])
            assert get(first, "/api/panes", **query, format="csv").status == 503
            assert get(first, "/api/panes", venue="nowhere", symbol=remote[1]).status == 503
            redis.Redis.from_url(redis_url).flushall()
            # The last answer took work, so it is kept for a moment.
            eventually(lambda: get(first, "/api/panes", **query).status == 503, "the kept answer to be forgotten", 2)


def test_workers_with_other_settings_say_so_and_judge_what_they_own(
    postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str
) -> None:
    """As while settings are changed worker by worker: each row has its owner's rules, also in a copy that it left.

    Standbys say how far they are.
    """
    trades = SCENARIOS["several markets"](3)
    settings: dict[str, dict[str, str]] = {"first": {}, "second": {"LIQUIDATION_THRESHOLD_USD": "5"}}
    settings["second"] |= {"LIQUIDATION_RULE_THRESHOLD_USD": "5", "WINDOW_SECONDS": "60"}
    with several_workers(tmp_path, new_database(postgres_server), redis_url) as view:
        first, second = (view.start(name, **changed) for name, changed in settings.items())
        eventually(lambda: len(get(first, "/api/workers").json["rows"]) == 2, "the workers to know each other", 40)
        view.publish(trades)
        view.settle([first, second], len(trades))
        eventually(lambda: {"memory", "peer"} == {*markets(whole(first, "/api/windows")).values()}, "both to own some")

        def check(answer: Answer, source: str) -> None:
            judged = [row for row in answer.json if row["source"] == source and row["judgements"]]
            assert judged
            for row in judged:
                assert row["window_seconds"] == 60
                assert [(one["threshold"], one["window_seconds"]) for one in row["judgements"]] == [(5, 60)]

        check(whole(first, "/api/windows"), "peer")
        workers = get(first, "/api/workers").json
        here, there = (f"http://{HOST}:{worker.port}" for worker in (first, second))
        assert {one["setting"]: one["values"] for one in workers["differences"]} == {
            "LIQUIDATION_THRESHOLD_USD": {here: "1000000", there: "5"},
            "LIQUIDATION_RULE_THRESHOLD_USD": {here: "250000", there: "5"},
            "WINDOW_SECONDS": {here: "300", there: "60"},
        }

        def are_standbys_whole() -> bool:
            rows = [one for row in get(first, "/api/workers").json["rows"] for one in row["partitions"]]
            lags = [one["lag"] for one in rows if one["role"] == "standby" and one["offset"]]
            return bool(lags) and not any(lags)

        eventually(are_standbys_whole, "standbys to have all of the changelog", 40)
        with view.broker_frozen():
            second.kill()
            copied = answered(
                lambda: get(first, "/api/windows"),
                lambda answer: any(row["source"] == "redis" for row in answer.json),
                "copies from Redis",
            )
            check(copied, "redis")
