"""The worker as the web view, the live windows and the sampler see it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import faust

from agents.alerts.history import AlertHistory
from agents.rules.base import Rule
from agents.rules.book import RuleBook, known_rules
from agents.rules.window import KnownWindow, PastWindow
from agents.sinks import Sinks
from agents.stats.window_stats import WindowSample
from streams.kafka.members import member_hosts
from streams.model.kinds import AnyMarket
from streams.settings import Settings
from streams.worker.ending import Ending
from streams.worker.facts import GroupFacts
from streams.worker.record_clock import RecordClock
from tables.keeper import Keeper
from tables.market.state import Market
from tables.market.windows import WindowFigures
from tables.serving import ShownRule


class RulesView:
    """The rules in force as readers see them. ``window_seconds`` is the length of their window.

    ``was_restored`` says of a market, a rule and a pane whether that alert was raised before this worker loaded the
    market. Its threshold is then unknown here.
    """

    def __init__(self, book: RuleBook, window_seconds: int, was_restored: Callable[[Market, str, int], bool]) -> None:
        self.rules = tuple(map(shown, book.rules))
        self.rule_labels = {name: kind.label for name, kind in known_rules().items()}
        self._book = book
        self._window_seconds = window_seconds
        self._shown = {rule.name: rule for rule in self.rules}
        self._was_restored = was_restored
        self._in_force = {rule.name: rule for rule in book.rules}

    def rules_of(self, market: AnyMarket) -> tuple[ShownRule, ...]:
        """Return the rules that judge a market."""
        return tuple(self._shown[rule.name] for rule in self._book.of(market))

    def measured(self, market: AnyMarket, rule_window: WindowFigures) -> dict[str, float | None]:
        """Return what each rule that judges a market measures of its rule window, in whole units, by rule."""
        window = KnownWindow(rule_window)
        found: dict[str, float | None] = {}
        for rule in self._book.of(market):
            measured = rule.measure(window)
            found[rule.name] = None if measured is None else rule.unit.number(measured)
        return found

    def is_retracted(self, market: Market, rule: str, pane: int) -> bool:
        """Whether later trades took back an alert that a rule raised at a pane.

        False where that is not known: the window of that pane is not kept any more, or this worker found the alert in
        the store. Another threshold may have raised it, and its row in Postgres says what became of it.
        """
        raised_by = self._in_force.get(rule)
        if raised_by is None or self._was_restored(market, rule, pane):
            return False
        if pane - self._window_seconds + 1 < market.oldest or not market.has_figures(pane):
            return False
        return raised_by.takes_back(PastWindow(market, pane, self._window_seconds))


class WorkerView(RulesView, GroupFacts):
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
        record_clock: RecordClock,
        home: Callable[[str], int],
        venue_names: Mapping[str, str],
        numbered_venues: Collection[str],
    ) -> None:
        GroupFacts.__init__(self, app)
        RulesView.__init__(self, rules, settings.window_seconds, keeper.was_restored)
        self.settings = settings
        self.alerts = AlertHistory(lambda: sinks.pool)
        self.home = home
        self.venue_names = venue_names
        self._numbered_venues = numbered_venues
        self._keeper = keeper
        self._sinks = sinks
        self._ending = ending
        self._record_clock = record_clock

    def numbers_trades(self, market: AnyMarket) -> bool:
        """Whether the venue numbers this market's trades one after another."""
        return market.venue in self._numbered_venues and not market.kind.has_wide_ids

    @property
    def is_ending(self) -> bool:
        """Whether it ends, since it must not go on."""
        return self._ending.has_begun

    def peer_secrets(self) -> list[str]:
        """Return the secrets by which workers know each other, that to sign with first; none where there is none."""
        secret = self.settings.web_peer_secret
        return [secret.get_secret_value()] if secret is not None else self.agreed_secrets()

    async def member_hosts(self) -> frozenset[str]:
        """Return the addresses that the group's members reach the broker from.

        Raises :class:`streams.errors.Outage` where the broker does not say.
        """
        return await member_hosts(self.settings)

    @property
    def store_answers(self) -> bool:
        """Whether the table store answered the last time."""
        return self._keeper.store_answers

    def clock_fault(self) -> str:
        """Return what is wrong with its machine's clock, for people; empty while that is right."""
        return self._record_clock.own.wrong()

    def now(self) -> float:
        """Return the time, unix seconds, by the broker's clock; by its machine's until that is known."""
        return self._record_clock.own.now()

    async def is_held_up(self) -> bool:
        """Ask whether it waits for what whoever is started in its place would wait for too."""
        return self._record_clock.is_waiting or not self.store_answers or not await self.postgres_answers()

    async def postgres_answers(self) -> bool:
        """Ask Postgres."""
        return await self._sinks.reachable()

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
        """Return a market that another worker serves, as that worker last stored it.

        Return None if the market is unknown, if each worker has a store of its own, or if a newer release wrote it.
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
        threshold=rule.unit.number(rule.threshold),
        steps=tuple(map(rule.unit.number, rule.steps)),
    )
