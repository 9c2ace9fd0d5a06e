"""Everything at random, for as long as one likes: ``make faults SEED=7 MINUTES=20``.

Everybody is started before the broker is. Then come rounds of afflictions, one or two at a time, while two producers
hear and three workers count. After each round all comes to rest and everything since the beginning is judged.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from itertools import combinations, count
from pathlib import Path
from random import Random

import pytest

from streams.publish.publisher import Publisher
from streams.worker.ending import MUST_NOT_GO_ON
from tests.faults.afflictions import (
    APART,
    GROUPS,
    Affliction,
    a_disk_is_full,
    the_broker_is_absent_at_the_start,
    the_broker_is_replaced,
)
from tests.faults.disk import mounted_if_permitted
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
# In rounds; the seed chooses which is the first.
REPLACED_EVERY = 3
# Time enough for every affliction to come up.
WHOLE_MINUTES = 20

pytestmark = [pytest.mark.faults, pytest.mark.timeout(MINUTES * 60 * 3 + 300)]


class Schedule:
    """Chooses what comes next of some groups: what has not come yet first, then each as often as its group holds it."""

    def __init__(self, random: Random, groups: Mapping[str, tuple[Affliction, ...]]) -> None:
        self._random = random
        self._groups = groups
        self._new = {name: random.sample(list(dict.fromkeys(group)), len(set(group))) for name, group in groups.items()}
        self._decks: dict[str, list[Affliction]] = {name: [] for name in groups}
        pairs = [frozenset(pair) for pair in combinations(self._decks, 2)]
        self._choices = [frozenset((name,)) for name in self._decks] + [pair for pair in pairs if pair not in APART]
        self._left: list[frozenset[str]] = []

    def next(self) -> list[Affliction]:
        """Return one affliction, or two of groups that may overlap."""
        if not self._left:
            self._left = self._random.sample(self._choices, len(self._choices))
        newest = max(self._left, key=lambda names: sum(bool(self._new[name]) for name in names))
        self._left.remove(newest)
        return [self._draw(name) for name in sorted(newest)]

    def _draw(self, group: str) -> Affliction:
        if self._new[group]:
            return self._new[group].pop()
        deck = self._decks[group]
        if not deck:
            deck += self._random.sample(self._groups[group], len(self._groups[group]))
        return deck.pop()


def possible(*, disk: bool, kafka: bool) -> dict[str, tuple[Affliction, ...]]:
    """Return the groups without what cannot befall a stack that has no disk of its own, or no real Kafka."""
    return {
        name: tuple(affliction for affliction in group if disk or affliction is not a_disk_is_full)
        for name, group in GROUPS.items()
        if kafka or name != "broker"
    }


async def test_a_random_schedule_ends_exact(tmp_path: Path) -> None:
    """Whatever came, and in whatever order: 0 trades lost, 0 counted twice, rows and messages as they should be."""
    log.info("SEED=%d MINUTES=%g", SEED, MINUTES)
    random = Random(SEED)
    met, ended = Counter[str](), Counter[str]()
    with contextlib.ExitStack() as exits:
        disk = exits.enter_context(mounted_if_permitted(tmp_path / "disk"))
        async with Stack(tmp_path / "stack", workers=3, producers=2, seed=SEED, proxied_kafka=True) as stack:
            if disk is not None:
                stack.workers[0] = stack.processes.worker("worker1", {"DATA_DIR": str(disk.directory / "data")})
            groups = possible(disk=disk is not None, kafka=stack.kafka is not None)
            wanted = {affliction.__name__ for group in groups.values() for affliction in group}
            schedule, replaced_first = Schedule(random, groups), random.randint(1, REPLACED_EVERY)
            publisher = Publisher(stack.settings)
            publisher.start()
            exchange = Exchange(stack, per_second=TRADES_PER_SECOND)
            world = World(stack, exchange, publisher, random, disk, endless(SEED, stack.script.venues[0]))
            try:
                wanted |= {the_broker_is_absent_at_the_start.__name__}
                if stack.kafka is not None:
                    wanted |= {the_broker_is_replaced.__name__}
                await befall(world, the_broker_is_absent_at_the_start, met)
                deadline = time.monotonic() + MINUTES * 60
                for number in count():
                    if time.monotonic() >= deadline:
                        break
                    async with stack.supervised() as deaths:
                        # At rest, and with a round to come that judges what it did.
                        if stack.kafka is not None and number and (number - replaced_first) % REPLACED_EVERY == 0:
                            await befall(world, the_broker_is_replaced, met)
                        await one_round(world, schedule, met, min(deadline, time.monotonic() + ROUND_SECONDS))
                    ended += deaths
                    crashes = [death for death in deaths if not death.endswith(f" {MUST_NOT_GO_ON}")]
                    assert not crashes, f"ended by themselves: {dict(deaths)}"
            finally:
                await publisher.close()
    log.info("SEED=%d: %s; ended by themselves: %s", SEED, dict(sorted(met.items())), dict(ended))
    if MINUTES >= WHOLE_MINUTES:
        assert not wanted - met.keys(), "never came up"


async def befall(world: World, affliction: Affliction, met: Counter[str]) -> None:
    """Let it befall the stack; it raises where it met nobody."""
    log.info("%s", await affliction(world))
    met[affliction.__name__] += 1


async def one_round(world: World, schedule: Schedule, met: Counter[str], until: float) -> None:
    """Afflict until then, come to rest, and judge everything."""
    stack = world.stack
    async with Exchange(stack, per_second=TRADES_PER_SECOND) as exchange:
        world.exchange = exchange
        await exchange.until_sent(200)
        while time.monotonic() < until:
            afflictions = schedule.next()
            log.info("begin: %s", " and ".join(affliction.__name__ for affliction in afflictions))
            await asyncio.gather(*(befall(world, affliction, met) for affliction in afflictions))
            await exchange.until_sent(world.random.randint(50, 800))
        await exchange.finish()
    async with asyncio.timeout(60):
        await world.publisher.drain()
    await stack.ready(*stack.workers, *stack.producers, timeout_seconds=180)
    seconds = await stack.drained(timeout_seconds=180)
    began = time.monotonic()
    verdict = await judge(stack, stack.sent, stack.script.venues)
    found = Counter((letter.topic, letter.symbol, letter.reason, letter.payload) for letter in await letters(stack))
    assert found == Counter((dose.topic, dose.symbol, dose.reason, dose.refused) for dose in world.poisoned)
    log.info("at rest after %.1f s, judged in %.1f s: %s", seconds, time.monotonic() - began, verdict)
