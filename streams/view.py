"""The worker as the web view, the live windows and the sampler see it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import faust

from agents.alerts.history import AlertHistory
from agents.rules.base import Rule
from agents.rules.book import RuleBook
from agents.sinks import Sinks
from agents.stats.window_stats import WindowSample
from streams.model.kinds import AnyMarket
from streams.settings import Settings
from streams.worker.ending import Ending
from streams.worker.facts import GroupFacts
from tables.keeper import Keeper
from tables.market.state import Market
from tables.serving import ShownRule


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
        venue_names: Mapping[str, str],
    ) -> None:
        super().__init__(app)
        self.settings = settings
        self.alerts = AlertHistory(lambda: sinks.pool)
        self.rules = tuple(map(shown, rules.rules))
        self.home = home
        self.venue_names = venue_names
        self._keeper = keeper
        self._rule_book = rules
        self._shown = {rule.name: rule for rule in self.rules}
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

    def rules_of(self, market: AnyMarket) -> tuple[ShownRule, ...]:
        """Return the rules that judge a market."""
        return tuple(self._shown[rule.name] for rule in self._rule_book.of(market))

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


def shown(rule: Rule) -> ShownRule:
    """Return a rule as readers need it."""
    return ShownRule(
        name=rule.name,
        unit=rule.unit.name,
        figure=rule.figure,
        label=rule.label,
        threshold=float(rule.unit.decimal(rule.threshold)),
        steps=tuple(float(rule.unit.decimal(step)) for step in rule.steps),
    )
