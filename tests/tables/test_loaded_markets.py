"""The markets in memory: how they come from the store, how many may, and when they leave."""

import asyncio

import msgspec
import pytest

from streams.errors import BadRecord
from tables.market.admission import Admission
from tables.market.chunks import CorruptState, head_key
from tables.market.episodes import Mark
from tables.market.formats import NewerState
from tables.stores.items import VALUES_A_STEP
from tests.memory_broker import MemoryState
from tests.tables.keeping import CHANGELOG, SECONDS, SPAN, Worker, count
from tests.trades import NOON
from tests.waiting import until


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


async def test_a_market_with_many_panes_is_preloaded_in_steps() -> None:
    """Messages are counted in between: a day of panes takes hundreds of milliseconds."""
    worker = Worker()
    for second in range(0, 4200, 32):
        await worker.trade("A/USD", second)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    again.keeper.begin_loads([0])
    turns = 0
    while not again.keeper.has_all([0]):
        await asyncio.sleep(0)
        turns += 1
    assert turns > len(again.state.items[0]) // VALUES_A_STEP
    ((_, loaded),) = again.keeper.markets()
    ((_, before),) = worker.keeper.markets()
    assert list(loaded.panes(0, loaded.watermark)) == list(before.panes(0, before.watermark))


async def test_a_load_that_fails_while_nobody_waits_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The worker stays unready, and its log says why."""
    worker = Worker()
    worker.state.items[0] = {b"kraken_spot|B/USD|head": b"broken"}
    worker.keeper.begin_loads([0])
    await until(lambda: caplog.messages)
    assert "markets could not be loaded" in caplog.text
    assert not worker.keeper.has_all([0])
