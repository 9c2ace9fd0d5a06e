"""Everything at random, for as long as one likes: ``make faults SEED=7 MINUTES=20``.

Rounds of afflictions, one or two at a time, while two producers hear and three workers count. After each round all
comes to rest and everything since the beginning is judged.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from streams.endings import MUST_NOT_GO_ON
from streams.publisher import Publisher
from tests.faults.afflictions import APART, GROUPS, Affliction, the_broker_is_replaced
from tests.faults.disk import mounted
from tests.faults.exchange import Exchange
from tests.faults.judge import judge, letters
from tests.faults.poison import endless
from tests.faults.stack import Stack
from tests.faults.world import World

log = logging.getLogger(__name__)

SEED = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
MINUTES = float(os.environ.get("MINUTES") or 1.5)
ROUND_SECONDS = 75.0
TRADES_PER_SECOND = 100
REPLACED_BROKERS = 0.3

pytestmark = [pytest.mark.faults, pytest.mark.timeout(MINUTES * 60 * 3 + 300)]


class Schedule:
    """Chooses what comes next of some groups: every affliction comes up before any comes twice as often."""

    def __init__(self, random: Random, groups: Iterable[str]) -> None:
        self._random = random
        self._decks: dict[str, list[Affliction]] = {name: [] for name in groups}
        pairs = [frozenset(pair) for pair in combinations(self._decks, 2)]
        self._choices = [frozenset((name,)) for name in self._decks] + [pair for pair in pairs if pair not in APART]
        self._left: list[frozenset[str]] = []

    def next(self) -> list[Affliction]:
        """Return one affliction, or two of groups that may overlap."""
        if not self._left:
            self._left = self._random.sample(self._choices, len(self._choices))
        return [self._draw(name) for name in sorted(self._left.pop())]

    def _draw(self, group: str) -> Affliction:
        deck = self._decks[group]
        if not deck:
            deck += self._random.sample(GROUPS[group], len(GROUPS[group]))
        return deck.pop()


async def test_a_random_schedule_ends_exact(tmp_path: Path) -> None:
    """Whatever came, and in whatever order: 0 trades lost, 0 counted twice, rows and messages as they should be."""
    log.info("SEED=%d MINUTES=%g", SEED, MINUTES)
    random = Random(SEED)
    met, ended = Counter[str](), Counter[str]()
    with contextlib.ExitStack() as exits:
        disk = exits.enter_context(mounted(tmp_path / "disk"))
        async with Stack(tmp_path / "stack", workers=3, producers=2, seed=SEED, proxied_kafka=True) as stack:
            stack.workers[0] = stack.processes.worker("worker1", {"DATA_DIR": str(disk.directory / "data")})
            for process in (*stack.workers, *stack.producers):
                process.start()
            await stack.ready(*stack.workers, *stack.producers)
            schedule = Schedule(random, GROUPS if stack.kafka is not None else sorted(GROUPS.keys() - {"broker"}))
            publisher = Publisher(stack.settings)
            publisher.start()
            world = World(stack, Exchange(stack), publisher, random, disk, endless(SEED, stack.script.venues[0]))
            deadline = time.monotonic() + MINUTES * 60
            try:
                while time.monotonic() < deadline:
                    async with stack.supervised() as deaths:
                        await one_round(world, schedule, met, min(deadline, time.monotonic() + ROUND_SECONDS))
                    ended += deaths
                    crashes = [death for death in deaths if not death.endswith(f" {MUST_NOT_GO_ON}")]
                    assert not crashes, f"ended by themselves: {dict(deaths)}"
            finally:
                await publisher.close()
    log.info("SEED=%d: %s; ended by themselves: %s", SEED, dict(sorted(met.items())), dict(ended))


async def one_round(world: World, schedule: Schedule, met: Counter[str], until: float) -> None:
    """Afflict until then, come to rest, and judge everything."""
    stack = world.stack
    async with Exchange(stack, per_second=TRADES_PER_SECOND) as exchange:
        world.exchange = exchange
        await exchange.until_sent(200)
        while time.monotonic() < until:
            afflictions = schedule.next()
            log.info("begin: %s", " and ".join(affliction.__name__ for affliction in afflictions))
            for said in await asyncio.gather(*(affliction(world) for affliction in afflictions)):
                log.info("%s", said)
            met.update(affliction.__name__ for affliction in afflictions)
            await exchange.until_sent(world.random.randint(50, 800))
        await exchange.finish()
    async with asyncio.timeout(60):
        await world.publisher.drain()
    await stack.ready(*stack.workers, *stack.producers, timeout_seconds=180)
    seconds = await stack.drained(timeout_seconds=180)
    began = time.monotonic()
    verdict = await judge(stack, stack.sent, stack.script.venues)
    found = Counter(
        (letter.topic, letter.reason, letter.payload)
        for letter in await letters(stack)
        if not letter.detail.startswith("row ")
    )
    assert found == Counter((dose.topic, dose.reason, dose.value) for dose in world.poisoned if not dose.rows)
    log.info("at rest after %.1f s, judged in %.1f s: %s", seconds, time.monotonic() - began, verdict)
    if stack.kafka is not None and world.random.random() < REPLACED_BROKERS:
        log.info("%s", await the_broker_is_replaced(world))
        met["the_broker_is_replaced"] += 1
