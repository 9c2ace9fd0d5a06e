"""Records on their way to the broker: none is lost, and what waits is bounded."""

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError

from streams.errors import Fatal
from streams.kafka import outbound as outbound_module
from streams.kafka.outbound import RECORDS_A_STEP, Delivered, Outbound, Record
from tests.memory_broker import MemoryBroker
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound_module, "RETRY_SECONDS", (0.0,))


def record(number: int, partition: int = 0) -> Record:
    """Return a record that tells its number."""
    return Record("topic", b"key", str(number).encode(), partition)


def numbers(broker: MemoryBroker) -> list[int]:
    """Return the numbers of what the broker has, in order."""
    return [int(taken.value) for taken in broker.records]


def failing(times: int, error: Exception) -> Callable[[Record], Exception | None]:
    """Return a fault that strikes so many times."""
    left = [times]

    def fault(_: Record) -> Exception | None:
        left[0] -= 1
        return error if left[0] >= 0 else None

    return fault


async def test_posting_does_not_wait_and_settling_does() -> None:
    """A message's alerts go at once; before its offset is committed the broker has them."""
    broker = MemoryBroker()
    broker.hold()
    outbound = Outbound(broker.send)
    for number in range(3):
        await outbound.post(record(number))
    settling = asyncio.create_task(outbound.settle())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not settling.done()
    broker.release()
    await settling
    assert numbers(broker) == [0, 1, 2]
    await outbound.settle()


async def test_settling_waits_for_what_is_posted_meanwhile() -> None:
    """Nothing slips in behind it."""
    broker = MemoryBroker()
    broker.hold()
    outbound = Outbound(broker.send)
    await outbound.post(record(0))
    settling = asyncio.create_task(outbound.settle())
    await asyncio.sleep(0)
    await outbound.post(record(1))
    broker._acknowledge()
    for _ in range(5):
        await asyncio.sleep(0)
    await outbound.post(record(2))
    broker.release()
    await settling
    assert numbers(broker) == [0, 1, 2]


async def test_settling_waits_for_a_post_that_has_yet_to_begin() -> None:
    """All of it: state that says an alert was raised must not be stored before the alert is on its way."""
    broker, full = MemoryBroker(), asyncio.Event()

    async def send(record: Record) -> Any:
        await full.wait()
        return await broker.send(record)

    outbound = Outbound(send)
    posting = asyncio.create_task(outbound.post(record(0), record(1)))
    await asyncio.sleep(0)
    settling = asyncio.create_task(outbound.settle())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not settling.done()
    full.set()
    await settling
    assert posting.done()
    assert numbers(broker) == [0, 1]


async def test_a_post_that_is_cancelled_holds_up_nobody() -> None:

    async def send(_: Record) -> Any:
        await asyncio.sleep(100)

    outbound = Outbound(send)
    posting = asyncio.create_task(outbound.post(record(0)))
    await asyncio.sleep(0)
    settling = asyncio.create_task(outbound.settle())
    await asyncio.sleep(0)
    posting.cancel()
    await asyncio.wait_for(settling, 5)


async def test_delivering_tells_where_each_record_is() -> None:
    """In the order of the records, whatever their partitions."""
    outbound = Outbound(MemoryBroker().send)
    places = await outbound.deliver([record(0, 2), record(1, 1), record(2, 2), record(3, 2)])
    assert places == [Delivered(2, 0), Delivered(1, 0), Delivered(2, 1), Delivered(2, 2)]
    assert await outbound.deliver([]) == []


async def test_many_records_are_delivered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are under way than may be."""
    monkeypatch.setattr(outbound_module, "MAX_IN_FLIGHT", 3)
    broker = MemoryBroker()
    broker.hold()
    delivering = asyncio.create_task(Outbound(broker.send).deliver([record(number) for number in range(8)]))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(broker.waiting) == 3
    broker.release()
    assert [place.offset for place in await delivering] == list(range(8))


async def test_a_slow_broker_slows_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, posting waits for acknowledgements."""
    monkeypatch.setattr(outbound_module, "MAX_IN_FLIGHT", 2)
    broker = MemoryBroker()
    broker.hold()
    outbound = Outbound(broker.send)
    await outbound.post(record(0))
    await outbound.post(record(1))
    third = asyncio.create_task(outbound.post(record(2)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not third.done()
    assert len(broker.waiting) == 2
    broker.release()
    await third
    await outbound.settle()
    assert numbers(broker) == [0, 1, 2]


@pytest.mark.parametrize("error", [KafkaConnectionError(), KafkaTimeoutError(), ConnectionResetError("reset")])
@pytest.mark.parametrize("where", ["on_send", "on_ack"])
async def test_what_fails_is_sent_until_the_broker_has_it(
    where: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the client refuses it or the broker does; the log says so once per record."""
    broker = MemoryBroker()
    setattr(broker, where, failing(4, error))
    outbound = Outbound(broker.send)
    with caplog.at_level(logging.WARNING):
        await outbound.post(record(1))
        await outbound.settle()
        assert await outbound.deliver([record(2)]) == [Delivered(0, 1)]
    assert numbers(broker) == [1, 2]
    assert [entry.getMessage() for entry in caplog.records] == [
        f"the broker did not take a record for topic ({error}); sending it again until it does"
    ]


async def test_one_that_fails_does_not_take_others_with_it() -> None:
    """Each record is sent again for itself."""
    broker = MemoryBroker()
    broker.on_ack = lambda taken: KafkaTimeoutError() if int(taken.value) == 1 and numbers(broker)[-1:] != [2] else None
    outbound = Outbound(broker.send)
    places = await outbound.deliver([record(0), record(1), record(2)])
    assert sorted(numbers(broker)) == [0, 1, 2]
    assert [place.offset for place in places] == [0, 2, 1]


@pytest.mark.parametrize("turns", range(8))
async def test_cancelling_a_settle_forgets_nothing(turns: int) -> None:
    """The next one waits for the same records, and those that failed meanwhile are sent again."""
    broker = MemoryBroker()
    broker.hold()
    broker.on_ack = failing(1, KafkaTimeoutError())
    outbound = Outbound(broker.send)
    await outbound.post(record(0))
    await outbound.post(record(1))
    settling = asyncio.create_task(outbound.settle())
    asyncio.get_running_loop().call_later(0, broker.release)
    for _ in range(turns):
        await asyncio.sleep(0)
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    broker.release()
    await outbound.settle()
    assert set(numbers(broker)) == {0, 1}


async def test_a_fault_of_the_program_is_not_retried() -> None:
    """Only what a broker or a network does wrong passes with time."""
    broker = MemoryBroker()
    broker.on_send = failing(1, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await Outbound(broker.send).post(record(0))


async def test_two_may_settle_at_once() -> None:
    """A commit and a full buffer: both return when everything is there."""
    broker = MemoryBroker()
    broker.hold()
    outbound = Outbound(broker.send)
    await outbound.post(record(0))
    both = asyncio.gather(outbound.settle(), outbound.settle())
    await until(lambda: broker.waiting)
    broker.release()
    await both
    assert numbers(broker) == [0]


async def test_a_record_that_is_too_large_is_not_tried_for_ever() -> None:
    """The broker will never take it: the caller stops the worker, and the log says what to change."""
    broker = MemoryBroker()
    outbound = Outbound(broker.send)
    broker.on_send = failing(1, MessageSizeTooLargeError("9000000 bytes"))
    with pytest.raises(Fatal, match=r"for topic .*max\.message\.bytes"):
        await outbound.post(record(0))
    broker.on_ack = failing(1, MessageSizeTooLargeError("9000000 bytes"))
    with pytest.raises(Fatal, match="for topic"):
        await outbound.deliver([record(0)])


async def test_others_have_a_turn_while_a_great_many_records_are_handed_over() -> None:
    """A client with room takes each at once, and two thousand of them would be one step."""
    taken: list[Record] = []

    async def send(record: Record) -> asyncio.Future[Delivered]:
        taken.append(record)
        place: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        place.set_result(Delivered(0, len(taken) - 1))
        return place

    count = 5 * RECORDS_A_STEP
    delivering = asyncio.create_task(Outbound(send).deliver([Record("t", b"k", b"v")] * count))
    seen = [0]
    while not delivering.done():
        await asyncio.sleep(0)
        seen.append(len(taken))
    assert max(after - before for before, after in pairwise(seen)) == RECORDS_A_STEP
    assert [where.offset for where in await delivering] == list(range(count))
