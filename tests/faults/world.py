"""What afflictions work with: a running stack, and what is known of the run."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from streams.publish.publisher import Publisher
from tests.faults.disk import Disk
from tests.faults.exchange import Exchange
from tests.faults.poison import Poison
from tests.faults.processes import Process
from tests.faults.stack import Stack

MET_SECONDS = 60.0
# Alerts come in bursts: up to 40 s may pass without one, and others' outages come on top.
ALERTED_SECONDS = 180.0
# A server that is started holds the loop that the exchange plays in, for a second or two.
PAUSE_SECONDS = 5.0


@dataclass
class World:
    """A stack at work, and what is known of the run so far.

    ``poison`` has no end; ``poisoned`` are the doses that were given since the broker was new. ``broker_away`` is held
    by what keeps the broker away, and for as long.
    """

    stack: Stack
    exchange: Exchange
    publisher: Publisher
    random: Random
    disk: Disk | None
    poison: Iterator[Poison]
    poisoned: list[Poison] = field(default_factory=list)
    broker_away: asyncio.Lock = field(default_factory=asyncio.Lock)

    def someone(self, processes: list[Process]) -> Process:
        """Return one of those that run."""
        running = [process for process in processes if process.running]
        assert running, f"nobody runs\n{self.stack.tails()}"
        return self.random.choice(running)

    async def some_time(self, least: float, most: float) -> float:
        """Let between so many seconds pass in which trades are sent: no affliction leaves Kraken without a listener."""
        assert self.exchange.flowing
        played = self.exchange.played
        seconds = self.random.uniform(least, most)
        await asyncio.sleep(seconds)
        assert self.exchange.flowing
        if self.exchange.played == played:
            assert seconds < PAUSE_SECONDS, f"no trade was sent in {seconds:.0f} s"
            await self.exchange.until_sent(1)
        return seconds

    async def broker_serves(self) -> None:
        """Return when nothing keeps the broker away."""
        async with self.broker_away:
            pass

    async def met(self, condition: Callable[[], bool], what: str, timeout_seconds: float = MET_SECONDS) -> None:
        """Wait until the fault has met somebody; whom it does not let answer is asked again."""

        def holds() -> bool:
            with contextlib.suppress(OSError):
                return condition()
            return False

        await self.stack.until(holds, timeout_seconds, what)

    async def met_by_alerts(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a fault that only alerts can meet has met some."""
        await self.met(condition, what, ALERTED_SECONDS)


def increased(processes: list[Process], metric: str, **labels: str) -> Callable[[], bool]:
    """Return a condition: a metric of some process is above what it was at the first look, or since a restart."""
    first: dict[str, float] = {}

    def holds() -> bool:
        for process in processes:
            try:
                value = process.metric(metric, **labels)
            except OSError:
                continue
            if value > first.setdefault(process.name, value):
                return True
            first[process.name] = value
        return False

    return holds


async def both_hear(world: World) -> None:
    """Wait until both producers are subscribed, and until what the last fault may have kept from one is published."""
    await world.stack.ready(*world.stack.producers)
    await world.exchange.heard_by(len(world.stack.producers))
    await world.exchange.published()
