"""A flush takes markets in steps, and others have a turn in between: whatever they do, nothing is lost or torn."""

import asyncio
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from tables import keeper
from tables.keeper import LONG_SECONDS, MARKETS_A_STEP
from tables.market.admission import Admission
from tables.market.chunks import prefix
from tables.stores.items import market_from
from tests.agents.factories import an_alert
from tests.tables.keeping import ALERTS, CHANGELOG, SPAN, Worker
from tests.trades import NOON
from tests.waiting import until

VENUE = "kraken_spot"
SEEDS = range(20)
SYMBOLS = [f"S{number}/USD" for number in range(6)]


@pytest.fixture
def one_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a flush take one market at a time."""
    monkeypatch.setattr(keeper, "MARKETS_A_STEP", 1)


def untaken(worker: Worker) -> set[str]:
    """Return the symbols that wait for a flush."""
    return {market.symbol for touched in worker.keeper._touched.values() for market in touched}


async def halfway(worker: Worker) -> None:
    """Wait until a flush of one market at a time has taken some of them."""
    while len(untaken(worker)) > len(SYMBOLS) // 2:  # noqa: ASYNC110 - turns of the loop are what this is about
        await asyncio.sleep(0)


async def test_others_have_a_turn_after_each_step() -> None:
    """Ten thousand markets took 150 ms in one step."""
    count = 5 * MARKETS_A_STEP + 1
    worker = Worker(admission=Admission(most=count, new_per_minute=count))
    for number in range(count):
        await worker.trade(f"S{number}/USD", 0)
    flush = asyncio.create_task(worker.keeper.flush())
    waiting = [count]
    while waiting[-1]:
        await asyncio.sleep(0)
        waiting.append(len(untaken(worker)))
    await flush
    assert max(before - after for before, after in pairwise(waiting)) == MARKETS_A_STEP
    assert len(worker.stored()) == count


@pytest.mark.parametrize("seconds", [0.0, LONG_SECONDS])
async def test_a_long_flush_has_most_turns(seconds: float) -> None:
    """Whoever counts gives way between two bundles: a replay would outrun its flush, and make ever more to flush.

    A short one needs no help. With none under way nobody waits.
    """
    turns = []
    for gives_way in (False, True):
        count, now = 20 * MARKETS_A_STEP, [0.0]
        worker = Worker(admission=Admission(most=count, new_per_minute=count), clock=partial(now.__getitem__, 0))
        for number in range(count):
            await worker.trade(f"S{number}/USD", 0)
        flush = asyncio.create_task(worker.keeper.flush())
        await asyncio.sleep(0)
        now[0] = seconds
        turns.append(0)
        while not flush.done():
            if gives_way:
                await worker.keeper.give_way()
            if not gives_way or seconds < LONG_SECONDS:
                await asyncio.sleep(0)
            turns[-1] += 1
    alone, giving_way = turns
    assert (giving_way < alone / 4) is (seconds >= LONG_SECONDS)
    waiting = worker.keeper.give_way()
    with pytest.raises(StopIteration):
        waiting.send(None)


@pytest.mark.usefixtures("one_a_step")
async def test_what_is_touched_after_it_was_taken_is_the_next_flushs() -> None:
    """What is touched again before its turn is taken once, as it is then."""
    worker = Worker()
    for symbol in SYMBOLS:
        await worker.trade(symbol, 0)
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await halfway(worker)
    later = untaken(worker)
    for symbol in SYMBOLS:
        await worker.trade(symbol, 1)
    await until(lambda: worker.broker.waiting)
    worker.broker.release()
    await flush
    assert worker.stored() == {symbol: 2 if symbol in later else 1 for symbol in SYMBOLS}
    assert untaken(worker) == set(SYMBOLS) - later
    await worker.keeper.flush()
    assert worker.stored() == worker.volumes() == dict.fromkeys(SYMBOLS, 2)


@pytest.mark.usefixtures("one_a_step")
async def test_no_changelog_before_the_alerts_of_every_step() -> None:
    """Also of those that were raised between the steps."""
    worker = Worker()
    for symbol in SYMBOLS:
        await worker.trade(symbol, 0)
        worker.unsettled[symbol] = [an_alert(symbol=symbol)]
    worker.broker.hold()
    flush = asyncio.create_task(worker.keeper.flush())
    await halfway(worker)
    again = untaken(worker).pop()
    await worker.trade(again, 1)
    worker.unsettled[again].append(an_alert(symbol=again, pane=NOON + 1))
    await until(lambda: len(worker.broker.waiting) == len(SYMBOLS) + 1)
    assert {record.topic for record, _ in worker.broker.waiting} == {ALERTS}
    worker.broker.release()
    await flush
    topics = [record.topic for record in worker.broker.records]
    assert topics.index(CHANGELOG) == len(SYMBOLS) + 1


@pytest.mark.usefixtures("one_a_step")
@pytest.mark.parametrize("turns", range(14))
async def test_a_partition_that_moves_between_steps_is_left_alone(turns: int) -> None:
    """Nothing of it is written by a later step, also where it is back by then with other objects."""
    worker = Worker()
    for symbol in SYMBOLS:
        await worker.trade(symbol, 0, partition=0)
        await worker.trade(f"O{symbol}", 0, partition=1)
    flush = asyncio.create_task(worker.keeper.flush())
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.keeper.forget([0])
    if turns % 2:
        await worker.trade(SYMBOLS[0], 0, 5)
    await flush
    assert worker.stored(0) in ({}, {SYMBOLS[0]: 5})
    assert worker.stored(1) == {f"O{symbol}": 1 for symbol in SYMBOLS}
    await worker.keeper.flush()
    assert worker.stored(0) == ({SYMBOLS[0]: 5} if turns % 2 else {})


@pytest.mark.usefixtures("one_a_step")
async def test_a_market_that_is_turned_back_before_its_turn_is_stored_as_it_is_then() -> None:
    """Its slots that must be empty and its head are taken in one step."""
    worker = Worker()
    for symbol in SYMBOLS:
        for second in (0, SPAN.slack):
            await worker.trade(symbol, second)
    await worker.keeper.flush()
    for symbol in SYMBOLS:
        await worker.trade(symbol, SPAN.slack + 1)
    flush = asyncio.create_task(worker.keeper.flush())
    await halfway(worker)
    late, early = untaken(worker).pop(), next(iter(set(SYMBOLS) - untaken(worker)))
    for symbol in (late, early):
        market = await worker.keeper.known(0, VENUE, symbol)
        assert market is not None
        assert market.turn_back(NOON)
    await flush

    def watermark(symbol: str) -> int:
        items = [item for item in worker.state.items[0].items() if item[0].startswith(prefix(VENUE, symbol))]
        market = market_from(items, VENUE, symbol, SPAN)
        assert market is not None
        return market.watermark

    assert (watermark(late), watermark(early)) == (NOON, NOON + SPAN.slack + 1)
    await worker.keeper.flush()
    assert watermark(early) == NOON
    assert worker.stored() == {symbol: 1 if symbol in (late, early) else 3 for symbol in SYMBOLS}


@pytest.mark.usefixtures("one_a_step")
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_flush_that_is_cancelled_between_steps_loses_nothing(seed: int) -> None:
    """Trades and alerts arrive all the while."""
    random = Random(seed)
    worker = Worker()
    counted: dict[str, int] = {}
    raised: set[str] = set()

    async def trade(second: int) -> None:
        symbol = random.choice(SYMBOLS)
        await worker.trade(symbol, second)
        counted[symbol] = counted.get(symbol, 0) + 1
        if random.random() < 0.3:
            alert = an_alert(symbol=symbol, pane=NOON + worker.offset)
            worker.unsettled.setdefault(symbol, []).append(alert)
            raised.add(str(alert.pane))

    for turn in range(30):
        for _ in range(random.randint(0, 8)):
            await trade(turn * 20)
        flush = asyncio.create_task(worker.keeper.flush())
        for _ in range(random.randint(0, 20)):
            await asyncio.sleep(0)
            if random.random() < 0.3:
                await trade(turn * 20 + 1)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
    await worker.keeper.flush()
    assert {record.value.decode() for record in worker.broker.of(ALERTS)} == raised
    assert worker.volumes() == worker.stored() == counted
