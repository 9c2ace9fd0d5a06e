"""What the tests of the sockets share: trades to publish, and a reader that collects what a feed yields."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from types import TracebackType

from streams.model.trade import Batch, Kind, Reject, Side, Trade
from streams.venues.base import Venue
from streams.venues.kraken.products import SPOT_PRODUCT
from streams.venues.socket_feed import SocketFeed
from streams.venues.socket_timing import SocketTiming
from tests.kraken import FUTURES, SPOT, product_of

DEADLINE_SECONDS = 10.0
NOW_US = 1_760_000_000_000_000

# Everything that a test would otherwise wait for, a hundred times faster.
FAST = SocketTiming(
    heartbeat_timeout_seconds=0.5,
    ack_timeout_seconds=0.3,
    ping_seconds=0.1,
    least_backoff_seconds=0.05,
    most_backoff_seconds=0.1,
    least_put_off_seconds=0.05,
    most_put_off_seconds=0.1,
)
# Where silence is what is tested, and a pause of the machine must not look like it.
PATIENT = replace(FAST, heartbeat_timeout_seconds=2)
# The same where silence is not what is tested.
STEADY = replace(FAST, heartbeat_timeout_seconds=5)
# Where silent symbols are what is tested.
WATCHFUL = replace(STEADY, symbol_stale_seconds=0.4)
# For tests in which nothing must time out.
CALM = SocketTiming(
    heartbeat_timeout_seconds=30,
    ack_timeout_seconds=30,
    least_backoff_seconds=0.05,
    most_backoff_seconds=0.1,
    least_put_off_seconds=0.05,
    most_put_off_seconds=0.1,
)


def spot(trade_id: int, symbol: str = "BTC/USD", price: str = "60000.1", quantity: str = "0.5") -> Trade:
    """Return a spot trade; later ids are later trades."""
    time_us = NOW_US + trade_id * 1000
    return Trade(SPOT, symbol, trade_id, Side.BUY, Kind.FILL, Decimal(price), Decimal(quantity), time_us, SPOT_PRODUCT)


def future(number: int, symbol: str = "PF_XBTUSD", kind: Kind = Kind.FILL, side: Side = Side.SELL) -> Trade:
    """Return a futures trade; later numbers are later trades."""
    time_us, product = NOW_US + number * 1000, product_of(symbol)
    return Trade(FUTURES, symbol, number, side, kind, Decimal("60000.5"), Decimal("0.01"), time_us, product)


def fed_by(venue: Venue) -> SocketFeed:
    """Return the socket that a venue's settings ask for."""
    feed = venue.feed()
    assert isinstance(feed, SocketFeed)
    return feed


class Reader:
    """Reads a feed in the background; use it as an async context manager."""

    def __init__(self, feed: SocketFeed) -> None:
        self.feed = feed
        self.batches: list[Batch] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def trades(self) -> list[Trade]:
        """Every trade so far."""
        return [trade for batch in self.batches for trade in batch.trades]

    @property
    def rejects(self) -> list[Reject]:
        """Every reject so far."""
        return [reject for batch in self.batches for reject in batch.rejects]

    def ids(self, *, is_snapshot: bool = False) -> list[int]:
        """Return the ids of the live trades, or of those that are history."""
        return [trade.trade_id for trade in self.trades if trade.is_snapshot == is_snapshot]

    async def __aenter__(self) -> "Reader":
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        async with aclosing(self.feed.batches()) as batches:
            async for batch in batches:
                self.batches.append(batch)

    async def settled(self) -> None:
        """Wait until every symbol of the feed is acknowledged."""
        await until(lambda: self.feed.connected and not self.feed.unsettled())


async def until(condition: Callable[[], object], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until the condition holds. Raises :class:`AssertionError` after the deadline."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {deadline_seconds} s"
        await asyncio.sleep(0.005)
