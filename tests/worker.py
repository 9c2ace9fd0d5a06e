"""A worker without Faust: the markets that a test counts into it, behind the Protocols of the view and the sampler."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from agents.alerts.history import AlertRow
from agents.rules.base import Rule
from agents.rules.book import RuleBook, rule_book
from agents.stats.window_stats import WindowSample
from streams.model.kinds import AnyMarket, implied_kind
from streams.model.trade import Kind, Side
from streams.settings import Settings, load_settings
from streams.view import RulesView
from tables.market.span import Span
from tables.market.state import Market
from tables.web.worker import AlertRecord, AlertSource
from tests.tables.market.test_rolling import count
from tests.trades import NOON

HERE = "http://127.0.0.1:6066"
WINDOWS = (60, 300)
SPAN = Span(window=300, retention=900)


class NoAlerts:
    """A Postgres without alerts."""

    row_type: type[msgspec.Struct] = AlertRow

    async def find(
        self,
        *,
        venue: str | None = None,  # noqa: ARG002 - the interface
        symbol: str | None = None,  # noqa: ARG002
        market: str | None = None,  # noqa: ARG002
        rules: Sequence[str] = (),  # noqa: ARG002
        severities: Sequence[str] = (),  # noqa: ARG002
        since: int | None = None,  # noqa: ARG002
        until: int | None = None,  # noqa: ARG002
        limit: int = 100,  # noqa: ARG002
    ) -> list[AlertRecord]:
        """Return none."""
        return []

    async def latest(self, limit: int) -> list[AlertRecord]:  # noqa: ARG002
        """Return none."""
        return []

    async def changed_since(self, moment: datetime) -> list[AlertRecord]:  # noqa: ARG002
        """Return none."""
        return []


class MemoryWorker(RulesView):
    """Serves partition 0 of one; a test changes what it likes. ``further`` are rules beside those of the settings."""

    def __init__(self, *, address: str = HERE, further: Sequence[type[Rule]] = (), **changes: Any) -> None:
        self.settings: Settings = load_settings(**{"windows": WINDOWS, "topic_partitions": 1} | changes)
        self.address = address
        self.is_rebalancing = False
        self.has_recovered = True
        self.is_ending = False
        self.is_unassigned = False
        self.store_answers = True
        self.clock_said = ""
        self.ahead_seconds = 0.0
        self.alerts: AlertSource = NoAlerts()
        made = [rule for kind in further if (rule := kind.of(self.settings)) is not None]
        super().__init__(
            RuleBook((*rule_book(self.settings).rules, *made)), self.settings.window_seconds, self._is_restored
        )
        # (symbol, rule, pane) of alerts that were raised before this worker loaded their markets.
        self.restored: set[tuple[str, str, int]] = set()
        self.venue_names: dict[str, str] = {}
        self.samples: list[WindowSample] = []
        self.hosts: set[str] = set()
        self.peers: dict[str, list[int]] = {}
        self.lag: dict[tuple[str, int], int] = {}
        self.trades = 0
        # Its trades have numbers of their own, across markets.
        self.is_numbered = False
        self._markets: dict[str, tuple[int, Market]] = {}

    def trade(
        self, symbol: str, second: int = 0, price: float = 100.0, partition: int = 0, side: Side = Side.BUY
    ) -> Market:
        """Count a trade of one unit."""
        self.trades += 1
        market = self.market(symbol, partition)
        count(market, NOON + second, self.trades, side, Kind.FILL, price)
        market.offset = self.trades
        market.received_us = (NOON + second) * 1_000_000 + 250_000
        return market

    def market(self, symbol: str, partition: int = 0) -> Market:
        """Return a market, with no trade at first."""
        kind = implied_kind(symbol)
        market = Market(f"kraken_{kind.name}", symbol, SPAN, kind)
        return self._markets.setdefault(symbol, (partition, market))[1]

    def numbers_trades(self, market: AnyMarket) -> bool:
        """Whether ids of this market rise by one: only where a test gives it such."""
        return self.is_numbered and not market.kind.has_wide_ids

    def clock_fault(self) -> str:
        """Return what the test says of the clock."""
        return self.clock_said

    def now(self) -> float:
        """Return the machine's time, corrected by what the test says that it is ahead."""
        return time.time() - self.ahead_seconds

    def _is_restored(self, market: Market, rule: str, pane: int) -> bool:
        return (market.symbol, rule, pane) in self.restored

    def markets(self) -> Iterator[tuple[int, Market]]:
        """Yield every market with its partition."""
        return iter(self._markets.values())

    def partitions(self) -> list[int]:
        """Return all."""
        return list(range(self.settings.topic_partitions))

    def standby_partitions(self) -> list[int]:
        """Return none."""
        return []

    def standby_offsets(self, partition: int) -> tuple[int | None, int | None]:  # noqa: ARG002 - the interface
        """Return that nothing is known."""
        return None, None

    def assignment(self) -> Mapping[str, Sequence[int]]:
        """Return what this worker serves, and what ``peers`` do."""
        return {self.address: self.partitions(), **self.peers}

    def peer_secrets(self) -> Sequence[str]:
        """Return that of the settings."""
        secret = self.settings.web_peer_secret
        return [secret.get_secret_value()] if secret is not None else []

    async def member_hosts(self) -> Collection[str]:
        """Return what the test says."""
        return self.hosts

    def next_offset(self, partition: int) -> int | None:
        """Return the offset behind the last trade."""
        return max((market.offset + 1 for at, market in self.markets() if at == partition), default=None)

    def end_offset(self, partition: int) -> int | None:
        """Return the same: all is counted."""
        return self.next_offset(partition)

    def committed_offset(self, partition: int) -> int | None:
        """Return the same."""
        return self.next_offset(partition)

    def has_caught_up(self, partition: int) -> bool:  # noqa: ARG002 - the interface
        """Return true."""
        return True

    async def preload(self, partitions: Collection[int], within_seconds: float) -> None:
        """Do nothing: all is in memory."""

    def has_all(self, partitions: Iterable[int]) -> bool:  # noqa: ARG002
        """Return true."""
        return True

    async def stored(self, partition: int, venue: str, symbol: str) -> Market | None:  # noqa: ARG002
        """Return nothing: there is no store."""
        return None

    async def postgres_answers(self) -> bool:
        """Return true."""
        return True

    def home(self, symbol: str) -> int:
        """Return where its market is."""
        return self._markets[symbol][0] if symbol in self._markets else 0

    async def sample(self, samples: list[WindowSample]) -> None:
        """Keep samples."""
        self.samples += samples

    async def lags(self, topics: Collection[str], within_seconds: float) -> Mapping[tuple[str, int], int]:  # noqa: ARG002
        """Return the lag that the test set."""
        return {(topic, partition): lag for (topic, partition), lag in self.lag.items() if topic in topics}
