"""A message of each malformed kind: refused with its reason and its bytes, and nothing else changes."""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from streams.publisher import Message
from tests.faults import harm
from tests.faults.feed import Feed, Script
from tests.faults.judge import judge, letters
from tests.faults.marks import fault_run
from tests.faults.poison import messages
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("poison"), workers=2) as running:
        await running.everybody_ready()
        yield running


async def test_poison_goes_to_the_dead_letters_with_its_bytes_and_stops_nothing(stack: Stack) -> None:
    """In between good trades, with a worker killed half way: a letter may come twice, none is missing."""
    script = Script(11, "poison")
    now_us = time.time_ns() // 1000
    poison = list(messages(11, script.venues[0], now_us))
    async with Feed(stack.settings, script) as feed:
        await feed.until_sent(300)
        for number, dose in enumerate(poison):
            # The good rows of a poisoned frame keep the order of their market, which the feed does not send.
            feed.trades += dose.good
            key = "ADA/USD" if dose.good else ("BTC/USD", "ETH/USD", "SOL/USD")[number % 3]
            feed.publish(Message(dose.topic, key, dose.value, now_us // 1000, 1, "poison"))
            await feed.until_sent(20)
            if number == len(poison) // 2:
                kill = await harm.kill(stack, feed, stack.workers[0], Random(11), evicted=stack.workers[:1])
                stack.workers[0].start()
        await feed.finish()
        await stack.drained()
        verdict = await judge(stack, feed.trades, script.venues)
    found = await letters(stack)
    kept = Counter((letter.topic, letter.symbol, letter.reason, letter.payload) for letter in found)
    assert kept == Counter((dose.topic, dose.symbol, dose.reason, dose.refused) for dose in poison)
    log.info("%d malformed messages, %d letters; %s; %s", len(poison), len(found), kill, verdict)
