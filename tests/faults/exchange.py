"""Trades on the way that they really take: Kraken's sockets, redundant producers, the topic."""

import asyncio
import time
from dataclasses import replace

from streams.model.frames import SNAPSHOT, decode_frame
from streams.topics import TRADES
from streams.venues.simulator.session import FuturesSession, SpotSession
from tests.faults.feed import FUTURES_SYMBOLS, SPOT_SYMBOLS, Player
from tests.faults.ledger import Identity
from tests.faults.stack import Stack
from tests.oracle import Market, OracleTrade, id_number
from tests.recordings import MICRO
from tests.wire import records

POLL_SECONDS = 0.1


class Exchange(Player):
    """Plays the stack's script on its Kraken, where its producers listen. It waits while nobody does.

    What was played is the stack's ``sent``, so that tests which share a stack go on where the last one stopped.
    ``rows`` counts the trades in the messages it sent, ``bundles`` the messages of several rows.
    """

    def __init__(self, stack: Stack, *, per_second: float = 200, most: int = 12) -> None:
        super().__init__(stack.script, per_second=per_second, most=most, trades=stack.sent)
        self._stack = stack
        self.rows = 0
        self.bundles = 0

    async def _open(self) -> None:
        await self.heard_by(1)

    async def _close(self) -> None:
        pass

    async def _send(self, trades: list[OracleTrade]) -> None:
        kraken = self._stack.kraken
        while not self._listeners():  # noqa: ASYNC110 - a count that signals nothing
            await asyncio.sleep(POLL_SECONDS)
        for bundle in _bundled(trades):
            self.rows += len(bundle)
            if isinstance(bundle[0].id, int):
                self.bundles += len(bundle) > 1
                await kraken.publish_spot(records(bundle))
            else:
                await kraken.publish_futures(records(bundle))

    def _listeners(self) -> int:
        """Return how many producers are subscribed to everything."""
        kraken = self._stack.kraken

        return min(kraken.subscribers(SpotSession, SPOT_SYMBOLS), kraken.subscribers(FuturesSession, FUTURES_SYMBOLS))

    async def heard_by(self, producers: int, timeout_seconds: float = 60) -> None:
        """Return when so many producers are subscribed to everything."""
        async with asyncio.timeout(timeout_seconds):
            while self._listeners() < producers:  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_SECONDS)

    async def published(self, timeout_seconds: float = 120) -> float:
        """Wait until everything sent before this call is on the topic; return how long that took.

        Raises :class:`AssertionError` where something never comes: a trade was lost between exchange and topic.
        """
        began = time.monotonic()
        wanted = {_identity(trade) for trade in self.trades}
        while missing := wanted - await self._stack.topic.identities():
            if time.monotonic() - began > timeout_seconds:
                raise AssertionError(
                    f"{len(missing)} trades not on the topic after {timeout_seconds:g} s, among them "
                    f"{sorted(missing)[:3]}\n{self._stack.tails()}"
                )
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def finish(self, timeout_seconds: float = 90) -> None:
        """Send no more; return when everything that was sent is on the topic."""
        self._stop.set()
        await self._task
        await self.published(timeout_seconds)


async def arrivals(stack: Stack) -> tuple[list[OracleTrade], dict[tuple[int, int], Market]]:
    """Return what the topic holds of the stack's exchange: its trades in their order, a copy each time one is there.

    The order is that of each partition; a market has only one. Also return the market of each message by partition
    and offset.
    """
    sent = {_identity(trade): trade for trade in stack.sent}
    trades: list[OracleTrade] = []
    messages: dict[tuple[int, int], Market] = {}
    for entry in await stack.ledger.read(TRADES):
        frame = decode_frame(entry.value)
        messages[entry.partition, entry.offset] = frame.venue, frame.symbol
        trades += [
            replace(sent[frame.venue, frame.symbol, number], is_snapshot=bool(flags & SNAPSHOT))
            for number, flags in zip(frame.trade_ids(), frame.flags, strict=True)
        ]
    return trades, messages


def _bundled(trades: list[OracleTrade]) -> list[list[OracleTrade]]:
    """Return the trades by message: those of one symbol and second share one, so that in any order they stay in it."""
    bundles: dict[tuple[str, str, int], list[OracleTrade]] = {}
    for trade in trades:
        bundles.setdefault((trade.venue, trade.symbol, trade.time_us // MICRO), []).append(trade)
    return list(bundles.values())


def _identity(trade: OracleTrade) -> Identity:
    return trade.venue, trade.symbol, id_number(trade.id)
