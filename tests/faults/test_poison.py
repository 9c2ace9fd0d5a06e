"""A message of each malformed kind: refused with its reason and its bytes, and nothing else changes.

They go straight to the topic, since no producer would publish one; the good trades between them come by two producers.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from streams.publish.publisher import Outgoing, Publisher
from tests.faults import harm
from tests.faults.exchange import Exchange
from tests.faults.judge import judge, letters
from tests.faults.marks import fault_run
from tests.faults.poison import BAD_ROWS, explode, messages
from tests.faults.stack import Stack

log = logging.getLogger(__name__)

pytestmark = fault_run(900)

PER_SECOND = 300
DRAINED_SECONDS = 60
BOMB = "unpacks to more than"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Give a stack with two producers and two workers that are ready."""
    async with Stack(tmp_path_factory.mktemp("poison"), workers=2, seed=11) as running:
        await running.everybody_ready()
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def publisher(stack: Stack) -> AsyncIterator[Publisher]:
    """Give a way to the topic past the producers."""
    sender = Publisher(stack.settings)
    sender.start()
    yield sender
    await sender.close()


async def test_poison_goes_to_the_dead_letters_with_its_bytes_and_stops_nothing(
    stack: Stack, publisher: Publisher
) -> None:
    """In between good trades, with a worker killed half way: a letter may come twice, none is missing."""
    now_us = time.time_ns() // 1000
    poison = list(messages(11, stack.script.venues[0], now_us))
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.heard_by(2)
        await exchange.until_sent(300)
        bombs = await explode(stack.broker_address)
        for number, dose in enumerate(poison):
            # The good rows of a poisoned frame keep the order of their market, which the exchange does not trade.
            stack.sent += dose.good
            key = BAD_ROWS if dose.good else ("BTC/USD", "ETH/USD", "SOL/USD")[number % 3]
            publisher.put(Outgoing(dose.topic, key, dose.value, now_us // 1000, 1, "poison"))
            await exchange.until_sent(20)
            if number == len(poison) // 2:
                kill = await harm.kill(stack, exchange, stack.workers[0], Random(11), evicted=stack.workers[:1])
                stack.workers[0].start()
        await exchange.finish()
        async with asyncio.timeout(DRAINED_SECONDS):
            await publisher.drain()
        await stack.drained()
        verdict = await judge(stack, stack.sent, stack.script.venues)
    found = await letters(stack)
    exploded = {(letter.topic, letter.partition, letter.offset) for letter in found if BOMB in letter.detail}
    assert len(exploded) == bombs
    others = [letter for letter in found if BOMB not in letter.detail]
    kept = Counter((letter.topic, letter.symbol, letter.reason, letter.payload) for letter in others)
    assert kept == Counter((dose.topic, dose.symbol, dose.reason, dose.refused) for dose in poison)
    log.info("%d malformed messages, %d letters; %s; %s", len(poison), len(found), kill, verdict)
