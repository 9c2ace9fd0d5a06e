"""One worker that has counted a recording, for every test that only asks."""

from collections.abc import Iterator
from typing import Any

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.oracle import Oracle, OracleTrade
from tests.recordings import SCENARIOS
from tests.view import View, ask, eventually

DROPPED = slice(40, 43)


@pytest.fixture(scope="session")
def recording() -> list[OracleTrade]:
    """Give the trades: two spot and two futures markets with alerts, a few spot ids missing."""
    trades = SCENARIOS["several markets"](5)
    spot = [trade for trade in trades if trade.symbol == "ETH/USD"][DROPPED]
    return [trade for trade in trades if trade not in spot]


@pytest.fixture(scope="session")
def oracle(recording: list[OracleTrade]) -> Oracle:
    """Give what must be found in them."""
    return Oracle(recording)


@pytest.fixture(scope="session")
def worker(
    recording: list[OracleTrade],
    oracle: Oracle,
    postgres_server: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """Give a worker that has counted the recording and written its alerts."""
    with View(tmp_path_factory.mktemp("view"), new_database(postgres_server)) as view:
        worker = view.start()
        view.publish(recording)
        view.settle([worker], len(recording))
        wanted = {(alert["symbol"], alert["pane"], alert["count"]) for alert in oracle.alerts()}
        eventually(
            lambda: wanted == {_identity(row) for row in ask(worker.port, "/api/alerts").json}, "the alerts' rows"
        )
        yield worker


def _identity(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["symbol"], row["pane"], row["count"]
