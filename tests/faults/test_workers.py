"""Workers are killed and frozen at work: no trade is lost, none counted twice, every alert is one row."""

import asyncio
import json
import logging
import time
import warnings
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from streams.topics import TRADES
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.feed import Feed, Script, messages_of
from tests.faults.judge import CHANGELOG, TERMS, judge, until_nothing_stale_is_last
from tests.faults.marks import REAL_KAFKA, fault_run
from tests.faults.processes import Process, http_get
from tests.faults.stack import Stack
from tests.kafka import NotCovered
from tests.oracle import Oracle, OracleTrade, is_spot
from tests.recordings import Tape

log = logging.getLogger(__name__)

SEEDS = 20
# Detection (session timeout 10 s), take-over, catching up.
TAKE_OVER_SECONDS = 20
FREEZE_SECONDS = 70
PER_SECOND = 300
# So many records Faust's standby holds in memory before it writes them down, and reads again where it takes over.
UNWRITTEN = 1000
# What its partitions get before the kill, far more than that; and from how many markets, to be quick about it.
WRITTEN = 4 * UNWRITTEN
CROWD = 200
RAISED = (
    "SELECT venue, symbol, extract(epoch FROM timestamp)::bigint AS pane FROM liquidation_alerts WHERE venue = ANY($1)"
)
RESTORED = "liqmon_restored_records_total"

pytestmark = fault_run(900)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and three workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("workers"), workers=3, seed=1, proxied_kafka=True) as running:
        await running.everybody_ready()
        yield running


async def test_twenty_kills_in_the_middle_of_a_batch(stack: Stack) -> None:
    """Each at another moment of the commit interval; half of them on a slow broker: flushes and seeks take long."""
    kills = []
    async with Exchange(stack, per_second=200) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(400)
        for seed in range(SEEDS * 2):
            random = Random(seed)
            victim = random.choice(await stack.any_ready())
            if stack.kafka is not None:
                stack.to_kafka.delay(0.04 if seed % 2 else 0.0)
            # Every third time the broker forgets them all, so that live ones work on what others have taken.
            evicted = [victim] if seed % 3 else stack.workers
            kills.append(await harm.kill(stack, exchange, victim, random, evicted=evicted))
            log.info("%s", kills[-1])
            victim.start()
            if sum(kill.uncommitted > 0 for kill in kills) >= SEEDS:
                break
            await exchange.until_sent(200)
        if stack.kafka is not None:
            await stack.to_kafka.heal()
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    struck = [kill for kill in kills if kill.uncommitted]
    flushing = sum(kill.flushing for kill in kills)
    log.info("%d kills, %d with work not committed, %d of them after its flush", len(kills), len(struck), flushing)
    log.info("%s", verdict)
    assert len(struck) >= SEEDS
    if stack.kafka is None and not flushing:
        line = "not covered: a kill between a flush and its commit; nothing slows the embedded broker down in between"
        warnings.warn(line, NotCovered, 1)
    else:
        assert flushing


async def test_the_judge_would_notice(stack: Stack) -> None:
    """One trade more or fewer in the list, and the verdict is another."""
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        await judge(stack, stack.sent, stack.script.venues)
    with pytest.raises(AssertionError, match=r"lacks 0 trades|should be empty|watermark"):
        await judge(stack, stack.sent[:-100] + stack.sent[-99:], stack.script.venues)
    extra = stack.script.act()[0]
    with pytest.raises(AssertionError):
        await judge(stack, [*stack.sent, extra], stack.script.venues)


async def test_a_killed_workers_partitions_are_served_again_within_20_seconds(stack: Stack) -> None:
    """Nobody tells the broker: it has to notice. By others; a worker that is the only one is started again."""
    await stack.ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(1000)
        victim = await harm.just_committed(stack, exchange)
        others = [worker for worker in stack.workers if worker is not victim]
        await harm.unfinished(stack, exchange, victim)
        kill = await harm.kill(stack, exchange, victim, Random(3), latest=0.2)
        if not others:
            victim.start()
        seconds = await harm.served_again(stack, since=kill.at)
        if others:
            victim.start()
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    log.info("served again after %.1f s by %s; %s; %s", seconds, "others" if others else "itself", kill, verdict)
    assert kill.uncommitted
    if others:
        assert seconds < TAKE_OVER_SECONDS


@REAL_KAFKA
async def test_a_standby_takes_over_within_20_seconds_without_reading_it_all(stack: Stack) -> None:
    """Of two workers one starts without tables: it writes down what the other one changes, until that is killed."""
    crowd = Script(10, "standby")
    await stack.ready()
    victim, heir, third = stack.workers
    for worker in (third, heir):
        await asyncio.to_thread(worker.stop)
    stack.delete_data(heir)
    await stack.settled()
    heir.start()
    await stack.settled()
    served = partitions(await row_of(victim), "active")
    assert served
    assert partitions(await row_of(heir), "standby") == served
    began, read = await stack.ledger.ends(CHANGELOG), await asyncio.to_thread(heir.metric, RESTORED)
    tapes = [Tape(number, f"C{number}/USD", venue=crowd.venues[0]) for number in range(CROWD)]
    written = 0
    async with (
        Exchange(stack, per_second=PER_SECOND) as exchange,
        Feed(stack.settings, crowd, per_second=0) as feed,
    ):
        await exchange.heard_by(2)
        while written < WRITTEN:
            trades = [tape.wait(1).trade(50) for tape in tapes]
            feed.trades += trades
            for message in messages_of(trades):
                feed.publish(message)
            await asyncio.sleep(stack.settings.commit_interval_seconds)
            ends = await stack.ledger.ends(CHANGELOG)
            written = sum(ends[partition] - began[partition] for partition in served)
        await stack.until(lambda: heir.metric(RESTORED) - read >= written - UNWRITTEN, 30, "the standby to follow")
        await harm.unfinished(stack, exchange, victim)
        before = await asyncio.to_thread(heir.metric, RESTORED)
        kill = await harm.kill(stack, exchange, victim, Random(10), latest=0.2)
        seconds = await harm.served_again(stack, since=kill.at)
        restored = await asyncio.to_thread(heir.metric, RESTORED) - before
        for worker in (victim, third):
            worker.start()
        await stack.ready()
        await feed.finish()
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent + feed.trades, (*stack.script.venues, *crowd.venues))
    log.info("served again after %.1f s, %d of %d records restored; %s; %s", seconds, restored, written, kill, verdict)
    assert kill.uncommitted
    assert seconds < TAKE_OVER_SECONDS
    assert restored < written / 2


async def test_all_workers_killed_and_their_directories_deleted(stack: Stack) -> None:
    """Everything that counts is on the broker and in Postgres."""
    await stack.ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(3000)
        kills = [await harm.kill(stack, exchange, worker, Random(4), evicted=[worker]) for worker in stack.workers]
        alerts = await stack.sql(RAISED, list(stack.script.venues))
        for worker in stack.workers:
            stack.delete_data(worker)
            worker.start()
        ready_seconds = await stack.ready()
        await exchange.until_sent(600)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    quiet = kept_quiet(stack.sent, kills[-1].sent, alerts)
    log.info("ready again after %.1f s; alerts open in %s; %s; %s", ready_seconds, quiet, kills, verdict)
    assert sum(kill.uncommitted for kill in kills) > 0
    assert quiet, "nothing asked what the workers remembered of alerts"


async def test_a_worker_frozen_for_70_seconds_adds_nothing_when_it_wakes(stack: Stack) -> None:
    """Its partitions moved long ago, where others are. Then it gets all back, with what its disk kept from before."""
    await stack.ready()
    async with Exchange(stack, per_second=100) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(500)
        victim = await harm.just_committed(stack, exchange)
        held = await harm.unfinished(stack, exchange, victim)
        frozen_at = time.monotonic()
        victim.freeze()
        committed = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
        uncommitted = sum(offset + 1 > committed[partition] for partition, offset in held.items())
        others = [worker for worker in stack.workers if worker is not victim]
        seconds = await harm.served_again(stack, since=frozen_at) if others else 0.0
        await asyncio.sleep(FREEZE_SECONDS - seconds)
        woken_at = time.monotonic()
        victim.resume()
        if others:
            await stack.rejoined()
        back = await harm.served_again(stack, since=woken_at)
        await exchange.until_sent(300)
        overtaken = await until_nothing_stale_is_last(stack)
        for worker in others:
            worker.kill()
        await stack.ledger.evict(*(worker.port for worker in others))
        await harm.served_again(stack)
        await exchange.until_sent(300)
        for worker in others:
            worker.start()
        await stack.ready()
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    moved = f"others served after {seconds:.1f} s" if others else "there were no others"
    log.info(
        "%s was frozen with work of %d partitions not committed; %s, all is served %.1f s after it woke; "
        "old values of %d keys were written over; %s",
        victim.name,
        uncommitted,
        moved,
        back,
        overtaken,
        verdict,
    )
    assert uncommitted
    assert seconds < TAKE_OVER_SECONDS


@REAL_KAFKA
async def test_a_worker_too_many_stands_by_and_takes_over(stack: Stack) -> None:
    """Six partitions, two for each of three: a fourth is ready without any, says so, and serves when one is killed."""
    await stack.settled()
    victim, *others = stack.workers
    spare = stack.processes.worker("spare").start()
    try:
        await stack.ready(spare)
        await stack.settled()
        row = await row_of(spare)
        assert (row["ready"], row["note"]) == (True, "stands by: no partition is left for it")
        async with Exchange(stack, per_second=PER_SECOND) as exchange:
            await exchange.heard_by(2)
            await exchange.until_sent(600)
            victim.kill()
            seconds = await harm.served_again(stack)
            await stack.ready(spare, *others)
            row = await row_of(spare)
            assert row["note"] == ""
            assert any(partition["role"] == "active" for partition in row["partitions"])
            await exchange.until_sent(300)
            await exchange.finish()
            await stack.drained()
            verdict = await judge(stack, stack.sent, stack.script.venues)
    finally:
        await asyncio.to_thread(spare.stop)
    victim.start()
    await stack.settled()
    log.info("served again after %.1f s, by the spare one too; %s", seconds, verdict)
    assert seconds < TAKE_OVER_SECONDS


async def row_of(worker: Process) -> dict[str, Any]:
    """Return what a worker's page of workers says of itself."""
    _, body = await asyncio.to_thread(http_get, worker.port, "/api/workers", 10)
    answer = json.loads(body)
    row: dict[str, Any] = next(row for row in answer["rows"] if row["url"] == answer["here"])
    return row


def partitions(row: dict[str, Any], role: str) -> set[int]:
    """Return the partitions that a worker's row shows in a role."""
    return {partition["partition"] for partition in row["partitions"] if partition["role"] == role}


def kept_quiet(trades: list[OracleTrade], sent: int, alerts: list[Any]) -> list[str]:
    """Return the symbols in which a worker that had forgotten ``alerts`` would alert again after the first ``sent``.

    There a window crosses its threshold within the cooldown of one of them, without an alert of the oracle's.
    """
    oracle = Oracle(trades, TERMS)
    expected = {(alert["venue"], alert["symbol"], alert["pane"]) for alert in oracle.alerts()}
    later = sorted({(trade.venue, trade.symbol, trade.time_us // 1_000_000) for trade in trades[sent:]} - expected)
    quiet = set()
    for alert in alerts:
        market, pane = (alert["venue"], alert["symbol"]), alert["pane"]
        within = [
            place[2] for place in later if place[:2] == market and pane < place[2] < pane + TERMS.cooldown_seconds
        ]
        if any(crosses(oracle, *market, place) for place in within):
            quiet.add(alert["symbol"])
    return sorted(quiet)


def crosses(oracle: Oracle, venue: str, symbol: str, pane: int) -> bool:
    """Whether the rule's window that ends with a pane is above its threshold."""
    window = oracle.window(venue, symbol, pane)
    if window is None:
        return False
    if is_spot(symbol):
        return bool(window["total_volume_micro_usd"] >= TERMS.volume_threshold_usd * 1_000_000)
    return bool(window["liquidation_volume_micro_usd"] >= TERMS.liquidation_threshold_usd * 1_000_000)
