"""The watch for a broker that was replaced: nothing ends it but what it looks for."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from aiokafka import AIOKafkaProducer

from streams.errors import Outage
from streams.kafka import broker_watch as replaced
from streams.kafka.admin import known_ends
from streams.kafka.broker_watch import BrokerWatch, ReplacedBroker
from streams.settings import Settings, load_settings
from tests.lost_writes import writes_that_fail
from tests.waiting import until

CHANGELOG = "test-replaced-changelog"


class Worker:
    """What the watch knows of a worker, and what it told it."""

    def __init__(self) -> None:
        self.reached: Mapping[int, int] | None = {}
        self.told: list[ReplacedBroker] = []
        self.asked = 0
        self.looks: list[tuple[Mapping[int, int], Mapping[int, int]]] = []
        self.error: Exception | None = None
        self.go_on: asyncio.Event | None = None

    async def look(self, reached: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Take note of what the watch saw; fail where the test says so."""
        await asyncio.sleep(0)
        self.looks.append((reached, ends))
        if self.go_on is not None:
            await self.go_on.wait()
        if self.error is not None:
            raise self.error

    def known(self) -> Mapping[int, int]:
        """Return how far the changelog goes; fail where the test says so."""
        self.asked += 1
        return dict(self.reached)  # type: ignore[arg-type]


@pytest.fixture
def worker() -> Worker:
    """Give a worker that has written nothing."""
    return Worker()


@pytest.fixture
async def settings(broker_address: str) -> Settings:
    """Give the settings of a broker whose changelog holds one record."""
    async with AIOKafkaProducer(bootstrap_servers=broker_address) as producer:
        await producer.send_and_wait(CHANGELOG, b"value", partition=0)
    return load_settings(kafka_bootstrap_servers=broker_address)


@pytest.fixture
async def watch(settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BrokerWatch]:
    """Give a watch that looks often."""
    monkeypatch.setattr(replaced, "LOOK_SECONDS", 0.01)
    watch = BrokerWatch(settings, CHANGELOG, worker.known, worker.told.append, worker.look)
    await watch.start()
    yield watch
    await watch.stop()


@pytest.mark.usefixtures("watch")
async def test_a_changelog_that_ends_before_what_was_written_is_said_once(worker: Worker) -> None:
    """Its records are lost, whatever the broker calls itself."""
    await until(lambda: worker.asked > 2)
    assert worker.told == []
    worker.reached = {0: 10**9}
    await until(lambda: worker.told)
    asked = worker.asked
    assert "start again to carry the state over" in str(worker.told[0])
    assert worker.asked == asked


@pytest.mark.usefixtures("watch")
async def test_an_error_that_nobody_expected_does_not_end_the_watch(
    worker: Worker, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the client or of the program: it is said once, and a replaced broker is noticed afterwards."""
    with writes_that_fail(int(settings.kafka_bootstrap_servers.rpartition(":")[2])):
        asked = worker.asked
        await until(lambda: worker.asked > asked + 3)
    worker.reached = None
    asked = worker.asked
    await until(lambda: worker.asked > asked + 3)
    worker.reached = {0: 10**9}
    await until(lambda: worker.told)
    said = [record for record in caplog.records if "looking for a replaced broker" in record.getMessage()]
    assert len(said) == 1


async def test_a_broker_whose_client_fails_in_an_unexpected_way_does_not_answer(settings: Settings) -> None:
    """It says nothing about what it is."""
    with (
        writes_that_fail(int(settings.kafka_bootstrap_servers.rpartition(":")[2])),
        pytest.raises(Outage, match="the broker does not answer"),
    ):
        await known_ends(settings, CHANGELOG)


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize("error", [Outage("the broker does not answer"), RuntimeError("a bug")])
async def test_whoever_looks_at_the_ends_too_may_fail(worker: Worker, error: Exception) -> None:
    """The watch goes on, and asks again."""
    worker.error = error
    await until(lambda: len(worker.looks) > 3)
    reached, ends = worker.looks[0]
    assert reached == {}
    assert ends[0] >= 1
    worker.reached = {0: 10**9}
    await until(lambda: worker.told)


@pytest.mark.usefixtures("watch")
async def test_a_look_that_takes_long_does_not_hold_up_the_watch(worker: Worker) -> None:
    """It may wait for a flush, and that for a table store. Only one is under way."""
    worker.go_on = asyncio.Event()
    await until(lambda: worker.looks)
    asked, looks = worker.asked, len(worker.looks)
    await until(lambda: worker.asked > asked + 3)
    assert len(worker.looks) == looks
    worker.go_on.set()
    await until(lambda: len(worker.looks) > looks)
    worker.go_on.clear()
    worker.reached = {0: 10**9}
    await until(lambda: worker.told)
