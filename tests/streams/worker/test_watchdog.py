"""A worker that commits nothing although messages wait is ended, and no other."""

import asyncio
import faulthandler
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.errors import Outage
from streams.kafka.admin import waiting
from streams.settings import load_settings
from streams.worker import watchdog as module
from streams.worker.watchdog import Stuck, Watchdog
from tests.waiting import until

DEADLINE_SECONDS = 0.1


class Worker:
    """What the watchdog knows of a worker, and what it told it."""

    def __init__(self) -> None:
        self.committed = 0
        self.looks = 0
        self.lag: Callable[[], int] = lambda: 7
        self.asked = 0
        self.told: list[Stuck] = []
        self.errors: list[Exception] = []

    def progress(self) -> object:
        """Return how far it is."""
        self.looks += 1
        if self.errors:
            raise self.errors.pop()
        return [self.committed]

    async def ask(self) -> int:
        """Return what waits."""
        self.asked += 1
        return self.lag()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    # It would end the tests, too.
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: None)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    """Give a worker that is watched."""
    worker = Worker()
    watchdog = Watchdog(DEADLINE_SECONDS, worker.progress, worker.ask, worker.told.append)
    await watchdog.start()
    yield worker
    await watchdog.stop()


async def test_a_worker_that_does_not_get_on_is_told_once(worker: Worker) -> None:
    """With how much waits."""
    await until(lambda: worker.told)
    assert [str(one) for one in worker.told] == [
        "nothing was committed for 0.1 s although 7 messages wait; start again to go on from the last commit"
    ]


async def test_one_that_commits_now_and_then_goes_on(worker: Worker) -> None:
    """The broker is not even asked."""
    looks = worker.looks
    while worker.looks < looks + 50:
        worker.committed += 1
        await asyncio.sleep(0.02)
    assert not worker.asked
    assert not worker.told


async def test_one_for_which_nothing_waits_goes_on(worker: Worker) -> None:
    """A quiet market is no fault."""
    worker.lag = lambda: 0
    await until(lambda: worker.asked > 3)
    assert not worker.told


@pytest.mark.parametrize("error", [Outage("the broker does not answer"), RuntimeError("whatever")])
async def test_a_broker_that_is_away_is_waited_for(worker: Worker, error: Exception) -> None:
    """And the time begins again when it answers."""

    def fails() -> int:
        raise error

    worker.lag = fails
    await until(lambda: worker.asked > 3)
    assert not worker.told
    worker.lag = lambda: 1
    await until(lambda: worker.told)


async def test_a_look_that_fails_is_not_the_last(worker: Worker) -> None:
    """Whatever it was."""
    worker.errors = [RuntimeError("nobody knows how far it is")]
    await until(lambda: worker.told)
    assert not worker.errors


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing in the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as files:
        used = files.enter_context(Path("/dev/null").open("rb")).fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_nobody_needs_to_be_asked(worker: Worker) -> None:
    """The question itself would need one."""

    def fails() -> int:
        raise Outage("no descriptor for that")

    worker.lag = fails
    with no_descriptors():
        await until(lambda: worker.told)
    assert "too many are open" in str(worker.told[0])


async def test_what_waits_is_counted_from_the_first_message_kept(broker_address: str) -> None:
    """Behind what was committed, in the partitions that are asked about."""
    topic = "test-watchdog-waiting"
    async with AIOKafkaProducer(bootstrap_servers=broker_address) as producer:
        for _ in range(5):
            await producer.send_and_wait(topic, b"value", partition=0)
    settings = load_settings(kafka_bootstrap_servers=broker_address)
    assert [await waiting(settings, topic, {0: committed}) for committed in (None, 0, 3, 5, 9)] == [5, 5, 2, 0, 0]


HANGS = """
import asyncio, io, sys, time
from streams.worker import watchdog
watchdog.LOOK_SECONDS = 0.05

async def main():
    async def lag(): return 0
    sys.stderr = io.StringIO()
    await watchdog.Watchdog(0.5, object, lag, print).start()
    await asyncio.sleep(0.2)
    time.sleep(30)

asyncio.run(main())
"""


def test_a_loop_that_hangs_ends_the_process() -> None:
    """What it leaves says where it hung, though a log has taken the place of its standard error, as Faust's does."""
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert "line 11 in main" in ended.stderr
