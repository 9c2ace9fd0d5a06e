"""A table store that does not answer: the flush waits, and nothing is acknowledged meanwhile."""

import asyncio
import logging

import pytest

from streams import metrics
from streams.errors import Outage
from tables.stores import patience
from tests.tables.keeping import Worker
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(patience, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(patience, "LAST_RETRY_SECONDS", 0.01)


def away() -> None:
    """Be a store that does not answer."""
    raise Outage("the table store does not answer")


async def test_a_flush_waits_for_the_store(caplog: pytest.LogCaptureFixture) -> None:
    """It is done when the store has the state; the changelog is written once. One line at each end, and a count."""
    caplog.set_level(logging.INFO, "tables.stores")
    before = metrics.sink_retries.labels(patience.SINK)._value.get()
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.state.on_save = away
    flushing = asyncio.create_task(worker.keeper.flush())
    await until(lambda: metrics.sink_retries.labels(patience.SINK)._value.get() >= before + 3)
    assert not flushing.done()
    assert not worker.keeper.store_answers
    worker.state.on_save = lambda: None
    await flushing
    assert worker.keeper.store_answers
    assert worker.stored() == {"A/USD": 1}
    assert len(worker.broker.records) == 2
    assert len(caplog.messages) == 2


async def test_what_comes_meanwhile_is_the_next_flushs() -> None:
    """The stream goes on in memory while the store is away."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.state.on_save = away
    flushing = asyncio.create_task(worker.keeper.flush())
    await asyncio.sleep(0.02)
    await worker.trade("A/USD", 1)
    worker.state.on_save = lambda: None
    await flushing
    assert worker.stored() == {"A/USD": 1}
    await worker.keeper.flush()
    assert worker.stored() == {"A/USD": 2}


async def test_a_partition_that_moved_is_not_waited_for() -> None:
    """Its state is another's to write; the flush of the others is complete."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.state.on_save = away
    flushing = asyncio.create_task(worker.keeper.flush())
    await asyncio.sleep(0.02)
    worker.keeper.forget([0])
    await flushing


async def test_a_process_that_is_to_end_does_not_wait() -> None:
    """The flush fails, so nothing is acknowledged."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.state.on_save = away
    flushing = asyncio.create_task(worker.keeper.flush())
    await asyncio.sleep(0.02)
    worker.keeper.close()
    with pytest.raises(Outage):
        await flushing


async def test_loading_a_market_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A market that began from nothing because its state could not be read would be wrong for ever."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    load, failures = again.state.load, iter([True, True, False])

    async def flaky(partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        if next(failures, False):
            away()
        return await load(partition, prefix)

    monkeypatch.setattr(again.state, "load", flaky)
    market = await again.trade("A/USD", 1)
    assert market.volume == 2
