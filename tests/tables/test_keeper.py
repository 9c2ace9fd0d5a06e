"""The keeper: what was touched becomes durable, in the right order, whatever interrupts it."""

import asyncio
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import msgspec
import pytest

from streams.errors import BadRecord, Fatal
from streams.kafka.outbound import Outbound, Record
from streams.model.alert import Alert
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.chunks import HEAD, CorruptState, decode_chunk, decode_head, head_key, prefix
from tables.market.episodes import Mark
from tables.market.formats import NewerState
from tables.market.state import Market, Span
from tests.agents.factories import an_alert
from tests.memory_broker import MemoryBroker, MemoryState
from tests.trades import NOON
from tests.waiting import until

SPAN = Span(window=60, retention=600, slack=100)
CHANGELOG = "panes-changelog"
ALERTS = "alerts"
SECONDS = 10


class Worker:
    """A keeper with what surrounds it. ``unsettled`` are rows waiting for a flush, by symbol."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        state: MemoryState | None = None,
        admission: Admission | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.broker = broker or MemoryBroker()
        self.state = state or MemoryState()
        self.unsettled: dict[str, list[Alert]] = {}
        self.ended: list[Fatal] = []
        self.idle: list[Market] = []
        self.offset = 0
        self.begins: dict[int, int] = {}
        self.keeper = Keeper(
            store=lambda: self.state,
            changelog=CHANGELOG,
            span=SPAN,
            outbound=Outbound(self.broker.send),
            settle=self._settle,
            alert_record=lambda alert: Record(ALERTS, alert.symbol.encode(), str(alert.pane).encode()),
            on_fatal=self.ended.append,
            admission=admission,
            on_idle=self.idle.extend,
            clock=clock,
            changelog_begin=self.begins.get,
        )

    def _settle(self, _: int, markets: Iterable[Market]) -> list[Alert]:
        return [alert for market in markets for alert in self.unsettled.pop(market.symbol, [])]

    async def trade(self, symbol: str, second: int, notional: int = 1, partition: int = 0) -> Market:
        """Count one trade, as a message would."""
        market = await self.keeper.market(partition, "kraken_spot", symbol)
        count(market, second, notional, offset=self.offset)
        self.offset += 1
        return market

    def volumes(self) -> dict[str, int]:
        """Return what another worker would find in the changelog, by symbol."""
        found: dict[bytes, bytes] = {}
        for record in self.broker.of(CHANGELOG):
            found[record.key] = record.value
        return volumes_in(found)

    def stored(self, partition: int = 0) -> dict[str, int]:
        """Return what the local store holds, by symbol."""
        return volumes_in(self.state.items[partition])


def count(market: Market, second: int, notional: int, offset: int) -> None:
    """Add one trade to a market, or nothing where its pane is no longer kept."""
    number = NOON + second
    pane = market.open_pane(number)
    if pane is not None:
        pane.add_trade(offset, number * 10**6, 1.0, notional, 0, 1, 0, 1, False)
        market.counted(number, pane, notional, 0)
    market.offset = offset


def volumes_in(items: dict[bytes, bytes]) -> dict[str, int]:
    volumes: dict[str, int] = {}
    for key, value in items.items():
        symbol = key.decode().split("|")[1]
        if not key.endswith(HEAD.encode()):
            notional = sum(pane.notional for pane in decode_chunk(key, value).panes if pane is not None)
            volumes[symbol] = volumes.get(symbol, 0) + notional
    return volumes


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


async def test_a_market_comes_back_as_it_was_stored() -> None:
    """Another worker, or this one after a restart, goes on where the flush was."""
    worker = Worker()
    for second in (0, 1, 45, 90):
        before = await worker.trade("A/USD", second, notional=10 + second)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    after = await again.keeper.market(0, "kraken_spot", "A/USD")
    assert (after.watermark, after.offset, after.volume) == (before.watermark, before.offset, before.volume)
    assert list(after.panes(0, after.watermark)) == list(before.panes(0, before.watermark))
    loads = again.state.loads
    assert await again.keeper.market(0, "kraken_spot", "A/USD") is after
    assert again.state.loads == loads


async def test_markets_with_similar_names_are_kept_apart() -> None:
    """One symbol may begin like another."""
    worker = Worker()
    await worker.trade("BTC/USD", 0, notional=1)
    await worker.trade("BTC/USDT", 0, notional=2)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    assert (await again.keeper.market(0, "kraken_spot", "BTC/USD")).pane(NOON).notional == 1  # type: ignore[union-attr]


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


async def test_a_partition_that_comes_back_is_read_again() -> None:
    """Its other owner has changed it meanwhile."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    worker.keeper.forget([0])
    other = Worker(state=worker.state)
    other.offset = 100
    await other.trade("A/USD", 1)
    await other.keeper.flush()
    market = await worker.keeper.market(0, "kraken_spot", "A/USD")
    assert (market.watermark, market.volume) == (NOON + 1, 2)


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


async def test_a_market_loaded_while_its_partition_moves_is_not_kept() -> None:
    """Else it would come back, stale, with the partition."""
    worker = Worker()
    loading = asyncio.create_task(worker.keeper.market(0, "kraken_spot", "A/USD"))
    await until(lambda: worker.state.loads)
    worker.keeper.forget([0])
    count(await loading, 0, 1, offset=0)
    await worker.keeper.flush()
    assert list(worker.keeper.markets()) == []
    assert worker.volumes() == {}


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


async def test_preloading_brings_markets_that_do_not_trade() -> None:
    """The page of all markets shows them; one that is in memory stays as it is."""
    worker = Worker()
    for symbol in ("A/USD", "B/USD"):
        await worker.trade(symbol, 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    again.offset = 10
    live = await again.trade("A/USD", 5)
    await again.keeper.preload([0], SECONDS)
    await again.keeper.preload([0], SECONDS)
    assert {market.symbol: market.volume for _, market in again.keeper.markets()} == {"A/USD": 2, "B/USD": 1}
    assert live in [market for _, market in again.keeper.markets()]
    await again.keeper.flush()
    assert {record.key.split(b"|")[1] for record in again.broker.of(CHANGELOG)} == {b"A/USD"}


async def test_a_preload_that_failed_is_begun_again() -> None:
    """Else the markets it had not come to would be on no page until they trade."""
    worker = Worker()
    for symbol in ("A/USD", "B/USD", "C/USD"):
        await worker.trade(symbol, 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    kept, again.state.items[0] = again.state.items[0], {b"kraken_spot|B/USD|head": b"broken"}
    with pytest.raises(CorruptState):
        await again.keeper.preload([0], SECONDS)
    again.state.items[0] = kept
    assert not again.keeper.has_all([0])
    await again.keeper.preload([0], SECONDS)
    assert again.keeper.has_all([0])
    assert len(list(again.keeper.markets())) == 3


async def test_who_asks_while_markets_are_loaded_waits_for_them() -> None:
    """A view that took what there is would lack markets, and not say so; one that cannot wait so long does say it."""
    worker = Worker()
    for symbol in ("A/USD", "B/USD", "C/USD"):
        await worker.trade(symbol, 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    again.state.hold()
    before = again.state.loads
    asked = [asyncio.create_task(again.keeper.preload([0], seconds)) for seconds in (SECONDS, SECONDS, 0.01)]
    asked[1].cancel()
    await asked[2]
    assert not again.keeper.has_all([0])
    again.state.release()
    await asked[0]
    assert again.keeper.has_all([0])
    assert len(list(again.keeper.markets())) == 3
    assert again.state.loads - before == 3


async def test_a_partition_that_moves_while_it_is_loaded_is_not_all_there() -> None:
    """Not when the load would have ended either: its markets are another's."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    again.state.hold()
    asked = asyncio.create_task(again.keeper.preload([0], SECONDS))
    await until(lambda: again.state.held)
    again.keeper.forget([0])
    again.state.release()
    await asked
    assert not again.keeper.has_all([0])
    assert list(again.keeper.markets()) == []


@pytest.mark.parametrize("turns", range(6))
async def test_a_market_preloaded_while_it_trades_is_one_market(turns: int) -> None:
    """Whichever of the two loads ends first."""
    worker = Worker()
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    preload = asyncio.create_task(again.keeper.preload([0], SECONDS))
    for _ in range(turns):
        await asyncio.sleep(0)
    market = await again.trade("A/USD", 1)
    await preload
    assert [kept for _, kept in again.keeper.markets()] == [market]
    await again.keeper.flush()
    assert again.volumes() == {"A/USD": 2}


async def test_a_partition_holds_a_bounded_number_of_markets() -> None:
    """A feed that invents symbols is refused; those that are known go on, and those that the settings list come in."""
    worker = Worker(admission=Admission([("kraken_spot", "L/USD")], most=1))
    await worker.trade("A/USD", 0)
    await worker.trade("B/USD", 0)
    with pytest.raises(BadRecord, match="too_many_markets: partition 0 holds 2 markets already"):
        await worker.keeper.market(0, "kraken_spot", "C/USD")
    await worker.trade("A/USD", 1)
    await worker.trade("L/USD", 1)
    await worker.trade("C/USD", 1, partition=1)


async def test_new_markets_come_at_a_bounded_rate_and_stored_ones_at_any() -> None:
    """By the time of their messages."""
    worker = Worker(admission=Admission([("kraken_spot", "L/USD")], new_per_minute=2))
    for symbol in ("A/USD", "B/USD", "L/USD"):
        await worker.trade(symbol, 0)
    with pytest.raises(BadRecord, match="new_markets: partition 0 has met 2 new markets within a minute"):
        await worker.keeper.market(0, "kraken_spot", "C/USD", at_seconds=29)
    await worker.keeper.market(0, "kraken_spot", "C/USD", at_seconds=31)
    await worker.keeper.flush()
    again = Worker(state=worker.state, admission=Admission(new_per_minute=1))
    for symbol in ("A/USD", "B/USD", "C/USD", "D/USD"):
        await again.trade(symbol, 1)
    with pytest.raises(BadRecord, match="new_markets"):
        await again.trade("E/USD", 1)


async def test_preloading_begins_with_listed_markets_and_ends_with_the_budget() -> None:
    """Whatever the symbols are called that others made up."""
    worker = Worker()
    for symbol in ("A/USD", "B/USD", "Z/USD"):
        await worker.trade(symbol, 0)
    await worker.keeper.flush()
    listed = [("kraken_spot", "Z/USD")]
    for admission, expected in (
        (Admission(listed, most=1), {"A/USD", "Z/USD"}),
        (Admission(listed, only_listed=True), {"Z/USD"}),
    ):
        again = Worker(state=worker.state, admission=admission)
        await again.keeper.preload([0], SECONDS)
        assert {market.symbol for _, market in again.keeper.markets()} == expected
        assert again.keeper.has_all([0])


class TestIdleMarkets:
    """Nobody has traded them for as long as panes are kept."""

    @pytest.fixture
    def now(self) -> list[float]:
        return [1000.0]

    @pytest.fixture
    def worker(self, now: list[float]) -> Worker:
        return Worker(admission=Admission([("kraken_spot", "L/USD")]), clock=lambda: now[0])

    def symbols(self, worker: Worker) -> set[str]:
        return {market.symbol for _, market in worker.keeper.markets()}

    async def test_they_leave_memory_unless_they_are_listed_and_come_back_as_they_were(
        self, worker: Worker, now: list[float]
    ) -> None:
        for symbol in ("A/USD", "B/USD", "L/USD"):
            await worker.trade(symbol, 0)
        await worker.keeper.flush()
        now[0] += SPAN.retention - 1
        await worker.trade("B/USD", 5)
        await worker.keeper.flush()
        assert self.symbols(worker) == {"A/USD", "B/USD", "L/USD"}
        now[0] += 30
        await worker.keeper.flush()
        assert self.symbols(worker) == {"B/USD", "L/USD"}
        assert [market.symbol for market in worker.idle] == ["A/USD"]
        market = await worker.trade("A/USD", 6)
        assert (market.volume, market.watermark) == (2, NOON + 6)
        await worker.keeper.flush()
        assert worker.volumes() == {"A/USD": 2, "B/USD": 2, "L/USD": 1}

    async def test_what_is_not_stored_yet_stays(self, worker: Worker, now: list[float]) -> None:
        """Whatever keeps the broker from taking it."""
        await worker.trade("A/USD", 0)
        await worker.keeper.flush()
        await worker.trade("A/USD", 1)
        now[0] += 2 * SPAN.retention
        worker.broker.hold()
        flush = asyncio.create_task(worker.keeper.flush())
        await until(lambda: worker.broker.waiting)
        assert self.symbols(worker) == {"A/USD"}
        worker.broker.release()
        await flush
        assert self.symbols(worker) == {"A/USD"}
        assert worker.stored() == {"A/USD": 2}

    async def test_they_make_room_for_others(self, now: list[float]) -> None:
        worker = Worker(admission=Admission(most=1), clock=lambda: now[0])
        await worker.trade("A/USD", 0)
        await worker.keeper.flush()
        now[0] += 2 * SPAN.retention
        await worker.keeper.flush()
        await worker.trade("B/USD", 0)


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


NEWER = msgspec.msgpack.encode([7, NOON, {}, [], 2, {"release": "9.9.9"}])
LATER_PARTS = ("coverage", "slots", "stats|hour", "7a", "-1", "")


def shared(state: MemoryState) -> MemoryState:
    """Make a store one that every replica reads."""
    state.peek = state.load  # type: ignore[method-assign]
    return state


async def test_state_that_a_newer_release_wrote_ends_who_must_change_it() -> None:
    """With its line, before a byte of it is rewritten; other markets are not told apart from it."""
    worker = Worker()
    key = head_key("kraken_spot", "A/USD")
    worker.state.items[0][key] = NEWER
    with pytest.raises(
        NewerState, match=r"a newer release \(9\.9\.9\) wrote the state under b'kraken_spot\|A/USD\|head'"
    ):
        await worker.trade("A/USD", 1)
    await worker.trade("B/USD", 1)
    await worker.keeper.flush()
    assert worker.state.items[0][key] == NEWER
    assert {record.key.split(b"|")[1] for record in worker.broker.of(CHANGELOG)} == {b"B/USD"}


async def test_state_that_a_newer_release_wrote_is_found_before_its_market_trades() -> None:
    """Where markets are brought to memory for the pages, nobody waits for the result who could end the worker."""
    worker = Worker()
    worker.state.items[0][head_key("kraken_spot", "A/USD")] = NEWER
    with pytest.raises(NewerState):
        await worker.keeper.preload([0], SECONDS)
    assert [type(error) for error in worker.ended] == [NewerState]
    assert not worker.keeper.has_all([0])


async def test_the_view_of_a_silent_owner_s_market_leaves_a_newer_release_s_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is none to show, the log says why, and nobody ends for a look."""
    worker = Worker(state=shared(MemoryState()))
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    found = await worker.keeper.stored(0, "kraken_spot", "A/USD")
    assert found is not None
    assert found.volume == 1
    worker.state.items[0][head_key("kraken_spot", "A/USD")] = NEWER
    assert await worker.keeper.stored(0, "kraken_spot", "A/USD") is None
    assert "a newer release (9.9.9) wrote the state" in caplog.text
    assert not worker.ended


@pytest.mark.parametrize("part", LATER_PARTS)
async def test_keys_that_a_later_release_added_are_left_alone(part: str) -> None:
    """Whatever is in their values: not read, not written, not an error, still there after a flush and a hand-over."""
    worker = Worker(state=shared(MemoryState()))
    await worker.trade("A/USD", 0)
    await worker.keeper.flush()
    written = len(worker.broker.records)
    keys = [f"kraken_spot|{symbol}|{part}".encode() for symbol in ("A/USD", "B/USD")]
    worker.state.items[0] |= dict.fromkeys(keys, b"\x92\x07\xc1")
    again = Worker(worker.broker, worker.state)
    again.offset = 1
    await again.keeper.preload([0], SECONDS)
    assert [market.symbol for _, market in again.keeper.markets()] == ["A/USD"]
    assert await again.keeper.stored(0, "kraken_spot", "B/USD") is None
    for symbol in ("A/USD", "B/USD"):
        await again.trade(symbol, 1)
    await again.keeper.flush()
    assert again.volumes() == {"A/USD": 2, "B/USD": 1}
    assert [again.state.items[0][key] for key in keys] == [b"\x92\x07\xc1"] * 2
    assert not {record.key for record in again.broker.records[written:]} & {*keys}


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


async def test_alerts_that_came_with_a_market_are_told_from_those_raised_since() -> None:
    """With which settings they were raised, the worker cannot know; not even of one that rose since."""
    before = Worker()
    market = await before.trade("BTC/USD", 0)
    market.marks["price_move"] = [Mark(NOON, 1, NOON)]
    assert not before.keeper.was_restored(market, "price_move", NOON)
    await before.keeper.flush()
    for load in ("by a message", "by a reader"):
        worker = Worker(before.broker, before.state)
        if load == "by a reader":
            await worker.keeper.preload([0], SECONDS)
        market = await worker.trade("BTC/USD", 400)
        market.marks["price_move"][0].severity = 2
        market.marks["price_move"].append(Mark(NOON + 400, 1, NOON + 400))
        known = [worker.keeper.was_restored(market, "price_move", NOON + second) for second in (0, 400)]
        assert known == [True, False]
        worker.keeper.forget([0])
        assert not worker.keeper.was_restored(market, "price_move", NOON)
