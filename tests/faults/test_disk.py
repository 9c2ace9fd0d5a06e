"""The disk of a worker's tables fills up: it says so and ends, others take over, and it is exact once there is room."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import harm
from tests.faults.disk import Disk, mounted
from tests.faults.feed import Feed, Script
from tests.faults.judge import judge
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900, REAL_KAFKA)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def disk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Disk]:
    """Give the disk of the first worker."""
    with mounted(tmp_path_factory.mktemp("disk") / "small") as small:
        yield small


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, disk: Disk) -> AsyncIterator[Stack]:
    """Give a stack with two workers that are ready, the first of them on the small disk."""
    async with Stack(tmp_path_factory.mktemp("full"), workers=2) as running:
        running.workers[0] = running.processes.worker("small", {"DATA_DIR": str(disk.directory / "data")})
        await running.everybody_ready()
        yield running


async def test_a_full_disk_ends_the_worker_and_room_brings_it_back(stack: Stack, disk: Disk) -> None:
    """At work, and again when it is started while the disk is still full."""
    script = Script(81, "disk")
    small, other = stack.workers
    async with Feed(stack.settings, script) as feed:
        await feed.until_sent(600)
        assert await harm.applied(small, feed), "it must serve some of the markets"
        disk.fill()
        code = await asyncio.to_thread(small.wait, 60)
        assert "cannot be written" in small.log_text()
        seconds = await harm.served_again(stack)
        small.start()
        again = await asyncio.to_thread(small.wait, 60)
        await harm.served_again(stack)
        disk.free()
        small.start()
        await stack.ready()
        await feed.until_sent(600)
        other.kill()
        await stack.ledger.evict(other.port)
        await harm.served_again(stack)
        await feed.until_sent(600)
        other.start()
        await feed.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues)
    log.info("ended with %d, served again after %.1f s, ended again with %d; %s", code, seconds, again, verdict)
    assert (code, again) == (70, 70)
    assert "Traceback" not in small.log_text()
