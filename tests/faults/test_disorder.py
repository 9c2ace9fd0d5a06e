"""Trades that come twice, in the wrong order, or late, with a worker killed among them.

They go straight to the topic, since a producer leaves out what comes twice, and no worker would meet it. Beside them
two producers bring another exchange's trades in order.
"""

import logging
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
import pytest_asyncio

from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.feed import Feed, Spoiled
from tests.faults.judge import judge
from tests.faults.marks import fault_run
from tests.faults.stack import Stack
from tests.oracle import OracleTrade
from tests.recordings import duplicated, reordered, shuffled_in_panes, with_late

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

KEPT_SECONDS = 4200
LATE_SECONDS = 200
REORDERED_SECONDS = 30
BESIDE_PER_SECOND = 150


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("disorder"), workers=2, seed=71) as running:
        await running.everybody_ready()
        yield running


def late(trades: list[OracleTrade], seed: int) -> list[OracleTrade]:
    """Bring trades that are too late for any window."""
    return with_late(trades, seed, late_seconds=KEPT_SECONDS + 100)


def late_but_kept(trades: list[OracleTrade], seed: int) -> list[OracleTrade]:
    """Bring trades whose panes are still kept: windows are corrected."""
    return with_late(trades, seed, late_seconds=LATE_SECONDS)


def everything(trades: list[OracleTrade], seed: int) -> list[OracleTrade]:
    """Do all of it at once."""
    return duplicated(late(late_but_kept(reordered(trades, seed), seed), seed + 1), seed)


@pytest.mark.parametrize(
    ("spoil", "disorder_seconds"),
    [
        (duplicated, 0),
        (shuffled_in_panes, 0),
        (late, 0),
        (reordered, REORDERED_SECONDS),
        (late_but_kept, LATE_SECONDS),
        (everything, LATE_SECONDS + REORDERED_SECONDS),
    ],
)
async def test_windows_and_alerts_are_the_oracles(
    stack: Stack, spoil: Callable[[list[OracleTrade], int], list[OracleTrade]], disorder_seconds: int
) -> None:
    """Whatever order trades come in; where that is not the order of panes, an alert may carry a later pane."""
    seed = 70 + len(spoil.__name__)
    script = Spoiled(seed, spoil.__name__, spoil)
    await stack.ready()
    async with Exchange(stack, per_second=BESIDE_PER_SECOND) as exchange, Feed(stack.settings, script) as feed:
        await exchange.heard_by(2)
        await feed.until_sent(1000)
        victim = stack.workers[seed % len(stack.workers)]
        kill = await harm.kill(stack, feed, victim, Random(seed), evicted=[victim])
        victim.start()
        await feed.until_sent(1500)
        await feed.finish()
        await exchange.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues, disorder_seconds=disorder_seconds)
        beside = await judge(stack, stack.sent, stack.script.venues)
    log.info("%s: %s; %s; in order beside it: %s", spoil.__name__, kill, verdict, beside)
    assert verdict.alerts
