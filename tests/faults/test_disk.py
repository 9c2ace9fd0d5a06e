"""The disk of a worker's tables fills up: it says so and ends, others take over, and it is exact once there is room."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
import pytest_asyncio

from streams.worker.ending import MUST_NOT_GO_ON
from tests.faults import harm
from tests.faults.disk import Disk, mounted
from tests.faults.exchange import Exchange
from tests.faults.judge import judge
from tests.faults.marks import fault_run
from tests.faults.processes import Process, http_get
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

ASKED_SECONDS = 0.05


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def disk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Disk]:
    """Give the disk of the first worker."""
    with mounted(tmp_path_factory.mktemp("disk") / "small") as small:
        yield small


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, disk: Disk) -> AsyncIterator[Stack]:
    """Give a stack with two workers that are ready, the first of them on the small disk."""
    async with Stack(tmp_path_factory.mktemp("full"), workers=2, seed=81) as running:
        running.workers[0] = running.processes.worker("small", {"DATA_DIR": str(disk.directory / "data")})
        await running.everybody_ready()
        yield running


def heard_until_the_end(worker: Process) -> list[tuple[int, dict[str, bool]]]:
    """Return status and facts of every answer of a worker's /readyz, from now until it has ended. Blocks."""
    heard = []
    while worker.running:
        with contextlib.suppress(OSError):
            status, body = http_get(worker.port, "/readyz")
            heard.append((status, json.loads(body)))
        time.sleep(ASKED_SECONDS)
    return heard


async def test_a_full_disk_ends_the_worker_and_room_brings_it_back(stack: Stack, disk: Disk) -> None:
    """At work, where it is unready before it ends, and again when it is started while the disk is still full."""
    small, *others = stack.workers
    async with Exchange(stack, per_second=300) as exchange:
        await exchange.until_sent(600)
        await harm.unfinished(stack, exchange, small)
        listening = asyncio.create_task(asyncio.to_thread(heard_until_the_end, small))
        disk.fill()
        code = await asyncio.to_thread(small.wait, 60)
        heard = await listening
        assert "cannot be written" in small.log_text()
        seconds = await harm.served_again(stack) if others else 0
        small.start()
        again = await asyncio.to_thread(small.wait, 60)
        if others:
            await harm.served_again(stack)
        disk.free()
        small.start()
        await stack.ready()
        await exchange.until_sent(600)
        for other in others:
            other.kill()
            await stack.ledger.evict(other.port)
            await harm.served_again(stack)
        await exchange.until_sent(600)
        for other in others:
            other.start()
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    unwritable = [facts["table_store_writable"] for _, facts in heard].index(False)
    log.info(
        "unready for %d of %d answers, ended with %d, served again after %.1f s, ended again with %d; %s",
        len(heard) - unwritable,
        len(heard),
        code,
        seconds,
        again,
        verdict,
    )
    assert {status for status, _ in heard[unwritable:]} == {HTTPStatus.SERVICE_UNAVAILABLE}
    assert (code, again) == (MUST_NOT_GO_ON, MUST_NOT_GO_ON)
    assert "Traceback" not in small.log_text()
