"""What a worker says of the partitions that it serves."""

from pathlib import Path
from typing import Any

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.recordings import SCENARIOS
from tests.view import View, ask, eventually


def test_who_has_all_says_so_of_each_partition(postgres_server: EmbeddedPostgres, tmp_path: Path) -> None:
    """The next message to be counted is where the partition ends, and so is what is committed.

    After the last message, and after a restart, where none has come yet.
    """
    trades = SCENARIOS["several markets"](4)
    with View(tmp_path, new_database(postgres_server)) as view:
        worker = view.start()
        view.publish(trades)
        view.settle([worker], len(trades))
        eventually(lambda: any(offsets(worker)) and has_all(worker), "the worker to have committed all")
        ends = offsets(worker)
        worker.stop_well()
        worker.start().wait_ready()
        eventually(lambda: has_all(worker), "the worker to have heard where its partitions end")
        assert offsets(worker) == ends


def partitions(worker: Process) -> list[dict[str, Any]]:
    """Return the rows of its partitions."""
    (row,) = ask(worker.port, "/api/workers").json["rows"]
    found: list[dict[str, Any]] = row["partitions"]
    return found


def offsets(worker: Process) -> list[int | None]:
    """Return the next message to be counted of each partition."""
    return [one["offset"] for one in partitions(worker)]


def has_all(worker: Process) -> bool:
    """Whether it says that nothing is left to be counted or committed; of an empty partition nothing is committed."""
    return all(
        one["offset"] == one["end_offset"] == (one["committed_offset"] or 0) and not one["lag"]
        for one in partitions(worker)
    )
