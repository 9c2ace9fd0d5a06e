"""Several workers as one program: what they count, how one that dies is dealt with, and how all end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.faults.processes import Process, Processes, http_get, liqmon, wait_until
from tests.kafka.server import HOST, free_ports
from tests.members import Members, is_alive
from tests.oracle import Oracle, OracleTrade
from tests.recordings import SCENARIOS
from tests.view import HEADERS, Answer, ask, eventually, is_whole, several_workers

Counts = dict[tuple[str, str, int], int]
"""Trades by venue, symbol and length of the window."""

START_SECONDS = 60
# The group waits 10 s for a member that was killed.
MOVED_SECONDS = 60
END_SECONDS = 30


def counts(port: int) -> Counts | None:
    """Return the trades in each window, as one member tells them of all; None where something is missing."""
    answer: Answer = ask(port, "/api/windows", headers=HEADERS)
    if not is_whole(answer):
        return None
    return {(row["venue"], row["symbol"], row["window_seconds"]): row["count"] for row in answer.json}


def expected(trades: list[OracleTrade]) -> Counts:
    """Return the same as the oracle has it."""
    oracle, found = Oracle(trades), Counts()
    for venue, symbol in oracle.markets():
        for seconds in (60, 300, 900, 3600):
            figures = oracle.window(venue, symbol, oracle.watermark(venue, symbol), seconds)
            assert figures is not None
            found[venue, symbol, seconds] = figures["count"]
    return found


def await_counts(port: int, wanted: Counts) -> None:
    """Wait until a member tells of all windows, and they are those."""
    eventually(lambda: counts(port) == wanted, f"all windows at {port} to be whole", MOVED_SECONDS)


def shares(port: int) -> list[int]:
    """Return how many partitions each member that is ready has, as one of them tells it."""
    rows = ask(port, "/api/workers", headers=HEADERS).json["rows"]
    return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])


@pytest.mark.real_kafka
def test_members_count_everything_once_through_a_kill_and_end_together(
    postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str
) -> None:
    """One page shows all, one signal ends all; one that is killed is named and started again, and nothing is lost."""
    trades = SCENARIOS["several markets"](3)
    half = len(trades) // 2
    with several_workers(tmp_path, new_database(postgres_server), redis_url) as view:
        members = Members(view, 2)
        program = members.process.start()
        program.wait_for_log("ready: 2 workers, each shows all of them", START_SECONDS)
        eventually(lambda: shares(members.ports[1]) == [2, 2], "two partitions each", START_SECONDS)
        view.publish(trades[:half])
        eventually(lambda: members.counted() == half, "the first half to be counted")
        pids = members.pids()
        for port in members.ports:
            assert http_get(port, "/healthz")[0] == 200
            await_counts(port, expected(trades[:half]))

        os.kill(pids[1], signal.SIGKILL)
        view.publish(trades[half:])
        program.wait_for_log("worker-2 ended by SIGKILL; the last line that it wrote: ")
        program.wait_for_log("; it starts again in 1 s (restart 1 of 5)")
        for port in members.ports:
            await_counts(port, expected(trades))
        eventually(lambda: shares(members.ports[0]) == [2, 2], "the new one to have its share", MOVED_SECONDS)

        everyone = {*pids, *members.pids()}
        assert len(everyone) == 3
        program.terminate()
        assert program.wait(END_SECONDS) == 0
        program.wait_for_log("all workers have ended")
        wait_until(lambda: not any(map(is_alive, everyone)), 5, "all members to be gone")
        heads = {line.split(" ")[0] for line in program.log_text().splitlines() if " | " in line}
        assert heads == {"worker-1", "worker-2"}
        # What was committed is all: nothing is read again.
        alone = view.start("alone")
        assert counts(alone.port) == expected(trades)
        assert alone.metric("liqmon_trades_total") == 0


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Process]:
    """Give a program of two members that wait for a broker that is not there."""
    with Processes(tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{free_ports(1)[0]}"}) as processes:
        program = Members(processes, 2).process.start()
        for number in (1, 2):
            program.wait_for_log(f"worker-{number} | ", START_SECONDS)
        wait_until(lambda: program.log_text().count("waiting for Kafka at") >= 2, START_SECONDS, "both to wait")
        yield program


def test_one_signal_ends_members_that_are_not_ready(waiting: Process, tmp_path: Path) -> None:
    """With code 0, like one worker; a second signal does not wait for them."""
    members = [int(path.read_text().split()[0]) for path in tmp_path.glob("workers/data/worker-*/lock")]
    assert len(members) == 2
    waiting.terminate()
    assert waiting.wait(END_SECONDS) == 0
    assert not any(map(is_alive, members))


def test_a_second_ctrl_c_does_not_wait(waiting: Process, tmp_path: Path) -> None:
    """A member that hangs costs nobody's patience, and is not left behind."""
    members = [int(path.read_text().split()[0]) for path in tmp_path.glob("workers/data/worker-*/lock")]
    os.kill(members[0], signal.SIGSTOP)
    os.kill(waiting.pid, signal.SIGINT)
    waiting.wait_for_log("stopping 2 workers (Ctrl-C again: at once)")
    os.kill(waiting.pid, signal.SIGINT)
    assert waiting.wait(END_SECONDS) == 130
    wait_until(lambda: not any(map(is_alive, members)), 5, "all members to be gone")


def test_members_end_with_a_supervisor_that_is_killed(waiting: Process, tmp_path: Path) -> None:
    """Nothing is left that holds a port or a directory."""
    members = [int(path.read_text().split()[0]) for path in tmp_path.glob("workers/data/worker-*/lock")]
    waiting.kill()
    wait_until(lambda: not any(map(is_alive, members)), 5, "all members to be gone")


def test_what_keeps_the_first_from_starting_ends_all_with_its_code(tmp_path: Path) -> None:
    """All have the same settings; one line has the reason. More members than partitions are said before."""
    with Processes(tmp_path, {"VENUES": "no_such_module", "TOPIC_PARTITIONS": "2"}) as processes:
        program = Members(processes, 3).process.start()
        assert program.wait(START_SECONDS) == 1
        first, *_, last = program.log_text().splitlines()
    assert first.endswith("3 processes share 2 partitions (TOPIC_PARTITIONS): 1 will stand by without work")
    assert " ended with code 1: VENUES names 'no_such_module', which cannot be imported" in last
    assert last.endswith("; no worker has been ready yet, so all stop")


def test_one_process_has_no_supervisor(tmp_path: Path) -> None:
    """``--processes 1`` is ``liqmon worker``: its own directory, nothing in front of its lines."""
    with Processes(tmp_path, {"VENUES": "no_such_module", "WEB_PORT": "0"}) as processes:
        programs = [
            processes.add(name, liqmon("worker", *arguments)).start()
            for name, arguments in (("plain", []), ("one", ["--processes", "1"]))
        ]
        assert [program.wait(START_SECONDS) for program in programs] == [1, 1]
    plain, one = (program.log_text() for program in programs)
    assert plain == one
    assert plain.startswith("liqmon: VENUES names")
    assert not list(tmp_path.glob("*/.liqmon/worker-*"))
