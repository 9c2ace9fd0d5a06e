"""The worker as the web view, the live windows and the sampler see it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import faust

from agents.alerts.history import AlertHistory
from agents.rules.book import LIQUIDATION, VOLUME, Rule, RuleBook
from agents.sinks import Sinks
from agents.stats.window_stats import WindowSample
from streams.model.amounts import MICRO_PER_USD
from streams.settings import Settings
from streams.worker.ending import Ending
from streams.worker.facts import GroupFacts
from tables.keeper import Keeper
from tables.market.state import Market
from tables.serving import MarketName, ShownRule


class WorkerView(GroupFacts):
    """Implements :class:`tables.web.worker.Worker` and :class:`agents.stats.sampler.SampledWorker`."""

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        *,
        keeper: Keeper,
        rules: RuleBook,
        sinks: Sinks,
        ending: Ending,
        home: Callable[[str], int],
    ) -> None:
        super().__init__(app)
        self.settings = settings
        self.alerts = AlertHistory(lambda: sinks.pool)
        self.rules = tuple(shown(rule) for rule in (rules.spot, rules.futures))
        self.home = home
        self._keeper = keeper
        self._rule_book = rules
        self._sinks = sinks
        self._ending = ending

    @property
    def is_ending(self) -> bool:
        """Whether it ends, since it must not go on."""
        return self._ending.has_begun

    @property
    def store_answers(self) -> bool:
        """Whether the table store answered the last time."""
        return self._keeper.store_answers

    async def postgres_answers(self) -> bool:
        """Ask Postgres."""
        return await self._sinks.reachable()

    def rules_of(self, market: MarketName) -> tuple[ShownRule, ...]:
        """Return the rules that judge a market."""
        judging = self._rule_book.rule_for(market.symbol).name
        return tuple(rule for rule in self.rules if rule.name == judging)

    def markets(self) -> Iterator[tuple[int, Market]]:
        """Yield (partition, market) of everything in memory."""
        return self._keeper.markets()

    async def preload(self, partitions: Collection[int], within_seconds: float) -> None:
        """Load every market of these partitions; return when they are there or the time is over: the load goes on."""
        await self._keeper.preload(partitions, within_seconds)

    def has_all(self, partitions: Iterable[int]) -> bool:
        """Whether every market of these partitions is in memory."""
        return self._keeper.has_all(partitions)

    async def stored(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Return a market that another worker serves, as that last stored it; None where stores are apart, or without.

        Raises :class:`streams.errors.Outage` where the store does not answer.
        """
        return await self._keeper.stored(partition, venue, symbol)

    async def sample(self, samples: list[WindowSample]) -> None:
        """Write samples of windows for dashboards; dropped while Postgres is away."""
        await self._sinks.sample(samples)


FIGURES: Final = {VOLUME: "total_volume_usd", LIQUIDATION: "liquidation_volume_usd"}
LABELS: Final = {VOLUME: "traded volume", LIQUIDATION: "liquidations"}
NOTES: Final = {VOLUME: "a proxy: spot trades carry no liquidation label"}


def shown(rule: Rule) -> ShownRule:
    """Return a rule as readers need it."""
    return ShownRule(
        name=rule.name,
        unit="usd",
        figure=FIGURES[rule.name],
        label=LABELS[rule.name],
        threshold=rule.threshold_micro_usd / MICRO_PER_USD,
        steps=tuple(step / MICRO_PER_USD for step in rule.steps_micro_usd),
        note=NOTES.get(rule.name, ""),
    )
