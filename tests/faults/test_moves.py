"""Trades that come in the moment when partitions have moved: a worker begins to take them while it still gets ready."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.feed import Feed, Script, messages_of
from tests.faults.judge import judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.processes import Process
from tests.faults.stack import Stack
from tests.recordings import Tape

log = logging.getLogger(__name__)

MARKETS = 12
MOVES = 4
# A rebalance takes a second or two from the first worker that is not ready to the last that is.
BURST_SECONDS = 3
POLL_SECONDS = 0.01

pytestmark = fault_run(600, REAL_KAFKA)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("moves"), workers=2) as running:
        await running.everybody_ready()
        yield running


async def test_trades_that_come_while_partitions_move_are_counted(stack: Stack) -> None:
    """After a quiet time a burst begins while workers are not ready, and goes on until they are; nobody is killed."""
    script = Script(13, "moves")
    tapes = [Tape(number, f"M{number}/USD", venue=script.venues[0]) for number in range(MARKETS)]
    stays, other = stack.workers
    async with Feed(stack.settings, script, per_second=0) as feed:
        for _ in range(MOVES):
            await stack.settled()
            change = asyncio.create_task(asyncio.to_thread(other.stop if other.running else other.start))
            await moving(stays)
            until = time.monotonic() + BURST_SECONDS
            while time.monotonic() < until:
                for tape in tapes:
                    trades = [tape.wait(0.1).trade(50)]
                    feed.trades += trades
                    for message in messages_of(trades):
                        feed.publish(message)
                await asyncio.sleep(0.002)
            await change
            await stack.ready()
            await stack.drained()
        await feed.finish()
        verdict = await judge(stack, feed.trades, script.venues)
    log.info("%s", verdict)


async def moving(worker: Process) -> None:
    """Return once partitions move; that may be over in a tenth of a second, and is told by the log if it was missed."""

    def moves() -> int:
        return worker.log_text().count("Worker ready")

    before = moves()
    async with asyncio.timeout(30):
        while await asyncio.to_thread(worker.ready) and moves() == before:  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_SECONDS)
