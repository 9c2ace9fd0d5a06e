"""A keeper with what surrounds it, for tests of the markets in memory and of how they become durable."""

import time
from collections.abc import Callable, Iterable

from streams.errors import Fatal
from streams.kafka.outbound import Outbound, Record
from streams.model.alert import Alert
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.chunks import HEAD, decode_chunk
from tables.market.span import Span
from tables.market.state import Market
from tests.memory_broker import MemoryBroker, MemoryState
from tests.trades import NOON

SPAN = Span(window=60, retention=600, slack=100)
CHANGELOG = "panes-changelog"
ALERTS = "alerts"
SECONDS = 10


class Worker:
    """A keeper with what surrounds it. ``unsettled`` are rows waiting for a flush, by symbol."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        state: MemoryState | None = None,
        admission: Admission | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.broker = broker or MemoryBroker()
        self.state = state or MemoryState()
        self.unsettled: dict[str, list[Alert]] = {}
        self.ended: list[Fatal] = []
        self.idle: list[Market] = []
        self.offset = 0
        # Behind what was restored, by partition. None were before.
        self.begins: dict[int, int] = dict.fromkeys(range(8), 0)
        self.keeper = Keeper(
            store=lambda: self.state,
            changelog=CHANGELOG,
            span=SPAN,
            outbound=Outbound(self.broker.send),
            settle=self._settle,
            alert_record=lambda alert: Record(ALERTS, alert.symbol.encode(), str(alert.pane).encode()),
            on_fatal=self.ended.append,
            admission=admission,
            on_idle=self.idle.extend,
            clock=clock,
            changelog_begin=self.begins.get,
        )

    def _settle(self, _: int, markets: Iterable[Market]) -> list[Alert]:
        return [alert for market in markets for alert in self.unsettled.pop(market.symbol, [])]

    async def trade(self, symbol: str, second: int, notional: int = 1, partition: int = 0) -> Market:
        """Count one trade, as a message would."""
        market = await self.keeper.market(partition, "kraken_spot", symbol)
        count(market, second, notional, offset=self.offset)
        self.offset += 1
        return market

    def volumes(self) -> dict[str, int]:
        """Return what another worker would find in the changelog, by symbol."""
        found: dict[bytes, bytes] = {}
        for record in self.broker.of(CHANGELOG):
            found[record.key] = record.value
        return volumes_in(found)

    def stored(self, partition: int = 0) -> dict[str, int]:
        """Return what the local store holds, by symbol."""
        return volumes_in(self.state.items[partition])


def count(market: Market, second: int, notional: int, offset: int) -> None:
    """Add one trade to a market, or nothing where its pane is no longer kept."""
    number = NOON + second
    pane = market.open_pane(number)
    if pane is not None:
        pane.add_trade(offset, number * 10**6, 1.0, notional, 0, 1, 0, 1, False)
        market.counted(number, pane, notional, 0)
    market.offset = offset


def volumes_in(items: dict[bytes, bytes]) -> dict[str, int]:
    volumes: dict[str, int] = {}
    for key, value in items.items():
        symbol = key.decode().split("|")[1]
        if not key.endswith(HEAD.encode()):
            notional = sum(pane.notional for pane in decode_chunk(key, value).panes if pane is not None)
            volumes[symbol] = volumes.get(symbol, 0) + notional
    return volumes
