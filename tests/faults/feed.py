"""Trades on their way in: an endless recording of several markets, and players that keep a list of what they sent."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Self

from streams.model.frames import encode_frame
from streams.publish.publisher import Outgoing, Publisher
from streams.settings import Settings
from streams.topics import TRADES
from tests.oracle import OracleTrade
from tests.recordings import START, Tape, interleaved
from tests.wire import records

STEP_SECONDS = 0.02
SPOT_SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")
FUTURES_SYMBOLS = ("PF_XBTUSD", "PI_ETHUSD")
"""Chosen so that each of 4 or 6 partitions has a market."""


class Script:
    """Several markets that trade for ever: calm, surges of every severity, cascades of liquidations.

    The trades come in the order of time. ``name`` makes the venues, ``<name>_spot`` and ``<name>_futures``, so that
    runs on one stack do not meet.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.venues = (f"{name}_spot", f"{name}_futures")
        self._random = Random(f"script {seed}")
        self._now = START
        self._seed = seed
        self._act = 0

    def act(self) -> list[OracleTrade]:
        """Return the next minutes of all markets."""
        self._act += 1
        tapes = [self._tape(symbol) for symbol in (*SPOT_SYMBOLS, *FUTURES_SYMBOLS)]
        for tape in tapes:
            self._play(tape)
        trades = interleaved(*(tape.trades for tape in tapes))
        self._now = max(trade.time_us for trade in trades) // 1_000_000 + self._random.choice((1, 2, 40))
        return trades

    def _tape(self, symbol: str) -> Tape:
        spot, futures = self.venues
        venue = spot if "/" in symbol else futures
        seed = self._seed * 1000 + self._act
        tape = Tape(seed, symbol, venue=venue, start=self._now, price="2500", tick="0.01", lot="0.0001")
        # Ids stay ascending from act to act, as an exchange's do.
        tape._next_id = self._act * 10_000_000
        return tape

    def _play(self, tape: Tape) -> None:
        random = self._random
        tape.calm(random.uniform(20, 60))
        for size in (random.uniform(1.1, 1.9), random.uniform(2, 12)):
            if tape.symbol in SPOT_SYMBOLS:
                tape.surge(size * 1_000_000, random.uniform(3, 20), trades=random.randrange(20, 60))
            else:
                tape.cascade(size * 250_000, random.uniform(3, 15), side=random.choice(("sell", "buy")))
            tape.calm(random.uniform(10, 40))
        tape.calm(random.choice((20, 200)))

    def __iter__(self) -> Iterator[OracleTrade]:
        while True:
            yield from self.act()


class Spoiled(Script):
    """A script whose acts are spoiled by a function of :mod:`tests.recordings`."""

    def __init__(self, seed: int, name: str, spoil: Callable[[list[OracleTrade], int], list[OracleTrade]]) -> None:
        super().__init__(seed, name)
        self._spoil = spoil

    def act(self) -> list[OracleTrade]:
        """Return the next minutes of all markets, spoiled."""
        return self._spoil(super().act(), self._seed * 1000 + self._act * 10)


class Player(ABC):
    """Sends a script's trades at a pace, a few at a time, until told to stop.

    ``trades`` is what was sent, in order, to which others may add what they send themselves; ``played`` counts only
    what this player sent.
    """

    def __init__(
        self, script: Script, *, per_second: float, most: int, trades: list[OracleTrade] | None = None
    ) -> None:
        self.script = script
        self.trades = [] if trades is None else trades
        self.played = 0
        self._source = iter(script)
        self._per_second = per_second
        self._random = Random(f"framing {script.venues}")
        self._most = most
        self._stop = asyncio.Event()

    @abstractmethod
    async def _open(self) -> None:
        """Get ready to send."""

    @abstractmethod
    async def _send(self, trades: list[OracleTrade]) -> None:
        """Send these trades."""

    @abstractmethod
    async def _close(self) -> None:
        """Give up what :meth:`_open` opened."""

    async def __aenter__(self) -> Self:
        await self._open()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stop.set()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    @property
    def flowing(self) -> bool:
        """Whether it is still sending."""
        return not self._stop.is_set() and not self._task.done()

    async def until_sent(self, more: int, timeout_seconds: float = 60) -> None:
        """Return when so many more trades were sent."""
        target = self.played + more
        async with asyncio.timeout(timeout_seconds):
            while self.played < target:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(STEP_SECONDS)

    async def _run(self) -> None:
        began, debt = time.monotonic(), 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            # What a busy machine missed is not made up for: a flood would be another test.
            debt += min(now - began, 0.2) * self._per_second
            began = now
            while debt >= 1:
                trades = [next(self._source) for _ in range(self._random.randint(1, self._most))]
                await self._send(trades)
                self.trades += trades
                self.played += len(trades)
                debt -= len(trades)
            await asyncio.sleep(STEP_SECONDS)


class Feed(Player):
    """Sends a script's trades straight to the topic, in frames of random size.

    Frames of a partition keep their order through outages of the broker, since it sends as the producer does.
    """

    def __init__(self, settings: Settings, script: Script, *, per_second: float = 300, most: int = 12) -> None:
        super().__init__(script, per_second=per_second, most=most)
        self._publisher = Publisher(settings)

    async def _open(self) -> None:
        self._publisher.start()

    async def _close(self) -> None:
        await self._publisher.close()

    async def finish(self, timeout_seconds: float = 90) -> None:
        """Send no more; return when the broker has everything that was sent."""
        self._stop.set()
        await self._task
        async with asyncio.timeout(timeout_seconds):
            await self._publisher.drain()

    def publish(self, message: Outgoing) -> None:
        """Send a message of another kind in between."""
        self._publisher.put(message)

    async def _send(self, trades: list[OracleTrade]) -> None:
        for message in messages_of(trades):
            self._publisher.put(message)


def messages_of(trades: list[OracleTrade]) -> list[Outgoing]:
    """Return the trades as the producer would publish them: a frame a market."""
    by_market: dict[tuple[str, str], list[Any]] = {}
    for trade, record in zip(trades, records(trades), strict=True):
        by_market.setdefault((trade.venue, trade.symbol), []).append(record)
    now_us = time.time_ns() // 1000
    return [
        Outgoing(TRADES, symbol, encode_frame(venue, symbol, part, now_us), now_us // 1000, len(part), venue)
        for (venue, symbol), part in by_market.items()
    ]
