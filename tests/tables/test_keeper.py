"""The keeper: what was touched becomes durable, in the right order, whatever interrupts it."""

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from streams.kafka.outbound import Outbound, Record
from tables.market.chunks import HEAD, decode_chunk, decode_head, prefix
from tests.agents.factories import an_alert
from tests.tables.keeping import ALERTS, CHANGELOG, SPAN, Worker, count
from tests.trades import NOON
from tests.waiting import until


async def test_a_flush_writes_what_was_touched_and_nothing_else() -> None:
    """The chunks that changed and the head; a second flush without trades writes nothing."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.trade("A/USD", 40)
    await worker.keeper.flush()
    first = len(worker.broker.records)
    assert worker.volumes() == worker.stored() == {"A/USD": 2}
    await worker.keeper.flush()
    assert len(worker.broker.records) == first == 3
    await worker.trade("A/USD", 41)
    await worker.keeper.flush()
    assert len(worker.broker.records) == first + 2


async def test_alerts_first_then_the_changelog_then_the_store() -> None:
    """State that says an alert was raised never outlives the alert, and the store is never ahead of the changelog."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.unsettled["A/USD"] = [an_alert(symbol="A/USD")]
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await until(lambda: worker.broker.waiting)
    assert {record.topic for record, _ in worker.broker.waiting} == {ALERTS}
    worker.broker._acknowledge()
    await until(lambda: worker.broker.waiting)
    assert {record.topic for record, _ in worker.broker.waiting} == {CHANGELOG}
    assert not worker.stored()
    worker.broker.release()
    await flush
    assert worker.stored() == {"A/USD": 1}


async def test_a_market_head_is_written_before_its_chunks() -> None:
    """A worker may be killed between them: a replay over the chunks must know which alerts they have raised."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await until(lambda: worker.broker.waiting)
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    worker.broker.waiting.clear()
    worker.broker.release()
    for symbol, second in (("B/USD", 0), ("A/USD", 40), ("B/USD", 40)):
        await worker.trade(symbol, second)
    await worker.keeper.flush()
    keys = [record.key.decode() for record in worker.broker.of(CHANGELOG)]
    for symbol in ("A/USD", "B/USD"):
        written = [key for key in keys if f"|{symbol}|" in key]
        assert [key.endswith(HEAD) for key in written] == [True, False, False]


async def test_the_store_knows_how_much_of_the_changelog_it_holds() -> None:
    """A restart restores from there."""
    worker = Worker()
    for second in range(3):
        await worker.trade("A/USD", second)
        await worker.keeper.confirm(await worker.keeper.flush())
    assert worker.state.offsets == {0: len(worker.broker.of(CHANGELOG)) - 1}


async def test_the_store_claims_nothing_before_a_commit_is_accepted() -> None:
    """A worker whose partition has moved may flush behind the new owner's records: the broker refuses its commit."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    claims = await worker.keeper.flush()
    assert worker.state.offsets == {}
    worker.keeper.forget([0])
    await worker.trade("A/USD", 1)
    await worker.keeper.confirm(claims)
    assert worker.state.offsets == {}, "the partition came back, and was restored since"


async def test_a_flush_after_the_commit_is_not_part_of_what_it_proves() -> None:
    """Only what was flushed before it."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    claims = await worker.keeper.flush()
    await worker.trade("A/USD", 1)
    later = await worker.keeper.flush()
    await worker.keeper.confirm(claims)
    assert worker.state.offsets == {}
    await worker.keeper.confirm(later)
    assert worker.state.offsets == {0: len(worker.broker.of(CHANGELOG)) - 1}


async def test_records_go_to_the_partition_of_the_market() -> None:
    """The changelog is partitioned as the trades are, not by the key."""
    worker = Worker()
    await worker.trade("A/USD", 0, partition=3)
    await worker.trade("B/USD", 0, partition=1)
    await worker.keeper.flush()
    places = {(record.key.split(b"|")[1], record.partition) for record in worker.broker.of(CHANGELOG)}
    assert places == {(b"A/USD", 3), (b"B/USD", 1)}


@pytest.mark.parametrize("seed", range(20))
async def test_a_cancelled_flush_loses_nothing(seed: int) -> None:
    """Cancelled anywhere, with trades arriving all the while: the next flush that ends holds everything."""
    random = Random(seed)
    worker = Worker()
    counted: dict[str, int] = {}
    raised: set[str] = set()
    for turn in range(30):
        for _ in range(random.randint(0, 3)):
            symbol = random.choice(["A/USD", "B/USD", "C/USD"])
            await worker.trade(symbol, turn * 20, partition=0)
            counted[symbol] = counted.get(symbol, 0) + 1
            if random.random() < 0.5:
                alert = an_alert(symbol=symbol, pane=NOON + worker.offset)
                worker.unsettled.setdefault(symbol, []).append(alert)
                raised.add(str(alert.pane))
        flush = asyncio.create_task(worker.keeper.flush())
        for _ in range(random.randint(0, 12)):
            await asyncio.sleep(0)
            if random.random() < 0.2:
                await worker.trade("A/USD", turn * 20 + 1)
                counted["A/USD"] = counted.get("A/USD", 0) + 1
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
    await worker.keeper.flush()
    assert {record.value.decode() for record in worker.broker.of(ALERTS)} == raised
    assert worker.volumes() == worker.stored() == counted


async def test_an_alert_that_was_settled_by_a_cancelled_flush_is_sent_by_the_next() -> None:
    """The flush dies while the broker takes the first of three."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.unsettled["A/USD"] = [an_alert(symbol="A/USD", pane=pane) for pane in (1, 2, 3)]
    reached = asyncio.Event()

    async def stall(record: Record) -> Any:
        reached.set()
        await asyncio.Event().wait()

    outbound, worker.keeper._outbound = worker.keeper._outbound, Outbound(stall)
    flush = asyncio.create_task(worker.keeper.flush())
    await reached.wait()
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    worker.keeper._outbound = outbound
    await worker.keeper.flush()
    assert [record.value for record in worker.broker.of(ALERTS)] == [b"1", b"2", b"3"]


async def test_a_market_touched_while_alerts_are_sent_is_in_that_flush_or_the_next() -> None:
    """With its row: a market is not taken for flushed while its alert is still to be settled."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    worker.unsettled["A/USD"] = [an_alert(symbol="A/USD", pane=1)]
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await asyncio.sleep(0)
    await worker.trade("B/USD", 0)
    worker.unsettled["B/USD"] = [an_alert(symbol="B/USD", pane=2)]
    worker.broker.release()
    await flush
    await worker.keeper.flush()
    assert {record.value for record in worker.broker.of(ALERTS)} == {b"1", b"2"}
    assert worker.volumes() == {"A/USD": 1, "B/USD": 1}


async def test_a_market_that_goes_on_after_a_flush_is_touched_again() -> None:
    """A long message is flushed in its middle; what follows belongs to the next flush."""
    worker = Worker()
    market = await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    worker.keeper.touch(0, market)
    count(market, 1, 1, offset=7)
    await worker.keeper.flush()
    assert worker.volumes() == {"A/USD": 2}


async def test_a_flush_says_how_far_event_time_may_run() -> None:
    """Only a flush that has ended moves the bound; what came during it is not part of it."""
    worker = Worker()
    market = await worker.trade("A/USD", 0)
    await worker.trade("A/USD", SPAN.slack + 1)
    assert market.must_flush()
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await until(lambda: worker.broker.waiting)
    await worker.trade("A/USD", SPAN.slack + 50)
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    assert market.must_flush()
    worker.broker.release()
    await worker.keeper.flush()
    assert not market.must_flush()
    assert market.flushed_watermark == market.watermark


async def test_partitions_that_moved_are_forgotten() -> None:
    """What their markets held is the new owner's business: nothing of it is written any more."""
    worker = Worker()
    moved = await worker.trade("A/USD", 0, partition=1)
    await worker.trade("B/USD", 0, partition=2)
    assert worker.keeper.forget([1]) == [moved]
    assert worker.keeper.forget([1]) == []
    count(moved, SPAN.slack + 1, 1, offset=9)
    worker.keeper.touch(1, moved)
    assert not moved.must_flush(), "it waits for no flush"
    await worker.keeper.flush()
    assert worker.volumes() == {"B/USD": 1}
    assert [partition for partition, _ in worker.keeper.markets()] == [2]


@pytest.mark.parametrize("turns", range(12))
async def test_a_partition_may_move_in_the_middle_of_a_flush(turns: int) -> None:
    """The others are written, and the store of the one that left is left alone."""
    worker = Worker()
    for partition in range(3):
        await worker.trade(f"{partition}/USD", 0, partition=partition)
    flush = asyncio.create_task(worker.keeper.flush())
    for _ in range(turns):
        await asyncio.sleep(0)
    before = dict(worker.stored(1))
    worker.keeper.forget([1])
    await flush
    assert worker.stored(0) == {"0/USD": 1}
    assert worker.stored(2) == {"2/USD": 1}
    assert worker.stored(1) == before


async def test_a_store_that_cannot_be_written_is_said_and_tried_again() -> None:
    """The error reaches the caller, who stops the worker; nothing counts as flushed."""
    worker = Worker()
    await worker.trade("A/USD", 0)

    def full() -> None:
        raise OSError("no space left on device")

    worker.state.on_save = full
    with pytest.raises(OSError, match="no space"):
        await worker.keeper.flush()
    assert worker.stored() == {}
    worker.state.on_save = lambda: None
    await worker.keeper.flush()
    assert worker.stored() == {"A/USD": 1}


async def test_stored_values_carry_the_offset_they_contain() -> None:
    """Of two workers' values, a restore keeps the one that contains the other."""
    worker = Worker()
    worker.offset = 41
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    items = dict(await worker.state.load(0, prefix("kraken_spot", "A/USD")))
    head = next(decode_head(key, value) for key, value in items.items() if key.endswith(HEAD.encode()))
    chunks = [decode_chunk(key, value) for key, value in items.items() if not key.endswith(HEAD.encode())]
    assert [head.offset, *(chunk.offset for chunk in chunks)] == [41, 41]


async def test_what_a_later_release_added_to_a_market_outlives_a_hand_over() -> None:
    """The changelog and the store have it, with the trades counted since."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    added = [1, {"phase": "auction"}, "and more"]
    items = worker.state.items[0]
    for key, value in items.items():
        items[key] = msgspec.msgpack.encode([*msgspec.msgpack.decode(value), *added])
    again = Worker(state=worker.state)
    again.offset = 1
    await again.trade("A/USD", 1)
    await again.keeper.flush()
    written = {record.key: record.value for record in again.broker.of(CHANGELOG)}
    assert written.keys() == items.keys()
    assert all(msgspec.msgpack.decode(value)[-3:] == added for value in written.values())
    assert written == items
    assert again.volumes() == {"A/USD": 2}
