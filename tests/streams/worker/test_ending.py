"""A worker that must not go on: it ends with its reason and its code, after a moment in which it can be asked."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.worker.ending import MUST_NOT_GO_ON, UNREADY_SECONDS
from tests.conftest import new_database
from tests.faults.proxy import Proxy
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HOST, View, ask, eventually

PROGRAM = """
import asyncio
from streams.worker.ending import Ending
from streams.errors import Outage

async def main():
    ending = Ending()
    assert not ending.has_begun
    ending.begin(Outage("the disk is full"))
    ending.begin(Outage("the disk is still full"))
    assert ending.has_begun
    asyncio.get_running_loop().call_later(0, print, "can be asked")
    await ending.over()

asyncio.run(main())
"""


def test_who_waits_for_the_end_does_not_go_on_until_it() -> None:
    """The loop runs meanwhile; of two reasons the first one counts."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == MUST_NOT_GO_ON
    assert time.monotonic() - began >= UNREADY_SECONDS
    assert ended.stdout.startswith("can be asked")
    assert ended.stderr == "the disk is full\n"


@pytest.mark.parametrize("was_open", [False, True])
async def test_a_worker_that_is_told_to_end_while_an_alert_waits_for_postgres_ends_well(
    postgres_server: EmbeddedPostgres, tmp_path: Path, was_open: bool
) -> None:
    """Who does not answer is no fault of the stop. After the next start each alert has its row, once."""
    trades = SCENARIOS["several markets"](4)
    async with Proxy(postgres_server.port) as road:
        postgres = new_database(postgres_server) | {"postgres_host": HOST, "postgres_port": road.port}
        with View(tmp_path, postgres) as view:
            worker = view.worker("worker").start()
            if was_open:
                await asyncio.to_thread(worker.wait_ready)
            await road.refuse()
            await asyncio.to_thread(view.publish, trades)
            await asyncio.to_thread(worker.wait_for_log, "does not answer, trying again")
            await asyncio.to_thread(eventually, lambda: worker.metric("liqmon_alerts_total") > 0, "an alert")
            await asyncio.to_thread(worker.stop_well)
            await road.heal()
            worker.start()
            await asyncio.to_thread(worker.wait_ready)
            wanted = sorted((alert["symbol"], alert["pane"]) for alert in Oracle(trades).alerts())

            def rows() -> list[tuple[str, int]]:
                return sorted((row["symbol"], row["pane"]) for row in ask(worker.port, "/api/alerts").json)

            await asyncio.to_thread(eventually, lambda: rows() == wanted, f"the rows {wanted}")
