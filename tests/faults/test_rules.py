"""A rule that judges a pane when it is over, on real servers: kills and restarts add no row of it, and take none.

Trades reach the two producers shuffled inside their second, and among them late ones at other prices. What is judged
depends on the order in which trades arrive: the oracle goes through them in the order of the topic.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random

import pytest
import pytest_asyncio

from agents.alerts.columns import from_row
from streams.model.alert import Alert
from tests.faults import harm
from tests.faults.exchange import Exchange, arrivals
from tests.faults.feed import Spoiled
from tests.faults.judge import ROWS, Verdict, judge
from tests.faults.marks import fault_run
from tests.faults.stack import Stack
from tests.oracle import Market, OracleTrade, Terms
from tests.recordings import shuffled_in_panes, with_swings, with_wicks

log = logging.getLogger(__name__)

SEED = 24
# Some twenty alerts of three severities among the first 1500 trades, a few of them retracted.
PRICE_MOVE_PCT = Decimal("0.4")
TERMS = Terms(price_move_pct=PRICE_MOVE_PCT)
LATE_SECONDS = 400
PER_SECOND = 200
KILLS = 8

pytestmark = fault_run(900)


def restless(trades: list[OracleTrade], seed: int) -> list[OracleTrade]:
    """Let prices leave and return inside panes, whose trades are shuffled, and in panes that are over."""
    trades = shuffled_in_panes(with_wicks(trades, seed, share=0.1), seed)
    return with_swings(trades, seed, every=12, within_seconds=LATE_SECONDS, swing=0.004)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and three workers that are ready and judge price moves."""
    environment = {"PRICE_MOVE_PCT": str(PRICE_MOVE_PCT)}
    stack = Stack(tmp_path_factory.mktemp("rules"), workers=3, seed=SEED, environment=environment, proxied_kafka=True)
    stack.script = Spoiled(SEED, "exchange", restless)
    async with stack as running:
        await running.everybody_ready()
        yield running


async def test_price_moves_under_kills_in_the_middle_of_a_batch(stack: Stack) -> None:
    """Half of the kills are on a slow broker, so that some fall between a flush and its commit."""
    kills = []
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(400)
        for seed in range(KILLS * 2):
            random = Random(seed)
            victim = random.choice(await stack.any_ready())
            if stack.kafka is not None:
                stack.to_kafka.delay(0.04 if seed % 2 else 0.0)
            evicted = [victim] if seed % 3 else stack.workers
            kills.append(await harm.kill(stack, exchange, victim, random, evicted=evicted))
            log.info("%s", kills[-1])
            victim.start()
            if sum(kill.uncommitted > 0 for kill in kills) >= KILLS:
                break
            await exchange.until_sent(300)
        if stack.kafka is not None:
            await stack.to_kafka.heal()
        await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        verdict, moves = await judged(stack)
    log.info("%s; price moves: %s", verdict, moves)
    assert sum(kill.uncommitted > 0 for kill in kills) >= KILLS
    assert moves.total() >= 12
    assert len(moves) >= 3


async def test_price_moves_through_a_rolling_restart(stack: Stack) -> None:
    """Each worker ends in good order while trades flow; who takes its partitions knows what was judged."""
    await stack.settled()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(400)
        for worker in stack.workers:
            code = await asyncio.to_thread(worker.stop)
            assert code == 0, worker.tail()
            await exchange.until_sent(300)
            worker.start()
            await stack.ready()
            await exchange.until_sent(300)
        await exchange.finish()
        await stack.drained()
        verdict, moves = await judged(stack)
    log.info("%s; price moves: %s", verdict, moves)
    assert moves.total() >= 12


async def judged(stack: Stack) -> tuple[Verdict, Counter[str]]:
    """Judge what a drained stack holds; return the verdict, and the price moves by severity."""
    trades, messages = await arrivals(stack)
    venues = stack.script.venues
    verdict = await judge(stack, trades, venues, disorder_seconds=LATE_SECONDS, terms=TERMS)
    alerts = [from_row(row) for row in await stack.sql(ROWS, list(venues))]
    check_raised(alerts, messages)
    moves = [alert for alert in alerts if alert.rule == "price_move"]
    retracted = sum(alert.retracted for alert in moves)
    copies = len(trades) - len({(trade.venue, trade.symbol, trade.id) for trade in trades})
    log.info("%d trades came twice, %d of %d price moves are retracted", copies, retracted, len(moves))
    assert retracted
    return verdict, Counter(alert.severity for alert in moves)


def check_raised(alerts: list[Alert], messages: dict[tuple[int, int], Market]) -> None:
    """Each row, of whatever rule, names a message of its market as the one that raised it."""
    for alert in alerts:
        assert alert.raised_offset is not None, alert
        assert messages.get((alert.partition, alert.raised_offset)) == (alert.venue, alert.symbol), alert
