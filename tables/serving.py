"""The markets that this worker serves, with each market's sums kept between looks. Knows neither Faust nor the web."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Protocol

import msgspec

from streams.model.kinds import AnyMarket
from streams.model.units import USD
from streams.settings import Settings
from streams.severities import SEVERITIES
from tables.market.rolling import Rolling
from tables.market.state import Market
from tables.market.windows import WindowFigures

TAKING_OVER: Final = "is taking over its partitions"
CATCHING_UP: Final = "is catching up: what its partitions hold is not all counted"

LOAD_SECONDS: Final = 0.5
"""How long a view waits for markets from the table store; less than another worker waits for this one's answer."""

UnixSeconds = Annotated[int, msgspec.Meta(description="unix seconds, UTC, event time")]


class LatestAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest alert of a rule, with the highest severity of its episode. Retracted alerts do not count.

    ``open``: an alert of the episode stands, and the cooldown is not over. ``retracted``: none stands, and this is the
    latest of the retracted ones. An alert that was raised before the worker loaded the market counts as standing. Its
    threshold is not stored with the market, and its row says whether it is retracted.
    """

    rule: str
    pane: UnixSeconds
    severity: str
    episode: UnixSeconds
    open: bool
    retracted: Annotated[bool, msgspec.Meta(description="every alert of the episode is known to be retracted")] = False


class ShownRule(msgspec.Struct, frozen=True):
    """A rule as readers need it: what it compares with what, and what that is called.

    ``threshold`` and ``steps`` are in whole units: USD, per cent, or a number of things.
    """

    name: str
    unit: Annotated[str, msgspec.Meta(description="usd, percent or count: of threshold, steps and measured")]
    figure: Annotated[
        str | None,
        msgspec.Meta(description="the figure of the rule window whose size is compared; null where it is none of them"),
    ]
    label: Annotated[str, msgspec.Meta(description="what the rule measures, for people")]
    threshold: float
    steps: Annotated[tuple[float, ...], msgspec.Meta(description="what each severity begins with, lowest first")]


class Standing(msgspec.Struct, frozen=True):
    """The rules that judge a market, by its owner's settings, and what each measures of the window that they judge.

    ``measured`` goes by the rule's name and is in whole units. It lacks a rule that cannot measure, or holds None.
    """

    rules: tuple[ShownRule, ...]
    measured: Mapping[str, float | None]
    window_seconds: int


def main_rule(rules: Sequence[ShownRule]) -> ShownRule | None:
    """Return the one rule that readers of an earlier release are told of: the first in USD, else the first.

    Return None where there are no rules.
    """
    return next((rule for rule in rules if rule.unit == USD.name), rules[0] if rules else None)


class ServingWorker(Protocol):
    """What is known of a worker that serves partitions."""

    @property
    def settings(self) -> Settings:
        """What it was started with."""
        ...

    @property
    def address(self) -> str:
        """The address under which it is announced to the group."""
        ...

    @property
    def is_rebalancing(self) -> bool:
        """Whether partitions move between workers."""
        ...

    @property
    def has_recovered(self) -> bool:
        """Whether the tables of its partitions are restored."""
        ...

    @property
    def is_ending(self) -> bool:
        """Whether it ends, since it must not go on."""
        ...

    def now(self) -> float:
        """Return the time, unix seconds, by the broker's clock; by its machine's until that is known."""
        ...

    def partitions(self) -> list[int]:
        """Return the partitions of ``trades`` that are assigned to it, ascending."""
        ...

    def has_caught_up(self, partition: int) -> bool:
        """Whether a partition was counted up to its end once since it came here."""
        ...

    def markets(self) -> Iterator[tuple[int, Market]]:
        """Yield (partition, market) of everything in memory."""
        ...

    async def preload(self, partitions: Collection[int], within_seconds: float) -> None:
        """Load every market of these partitions; return when they are there or the time is over: the load goes on."""
        ...

    def has_all(self, partitions: Iterable[int]) -> bool:
        """Whether every market of these partitions is in memory."""
        ...

    def rules_of(self, market: AnyMarket) -> tuple[ShownRule, ...]:
        """Return the rules that judge a market."""
        ...

    def numbers_trades(self, market: AnyMarket) -> bool:
        """Whether the venue numbers this market's trades one after another."""
        ...

    def measured(self, market: AnyMarket, rule_window: WindowFigures) -> Mapping[str, float | None]:
        """Return what each rule that judges a market measures of its rule window, in whole units, by rule."""
        ...

    def is_retracted(self, market: Market, rule: str, pane: int) -> bool:
        """Whether later trades took back an alert that a rule raised at a pane; false where that is not known."""
        ...


class ServedMarkets:
    """The markets of one worker. ``windows`` are their lengths in seconds, shortest first.

    Only one may look at a market's changes: whoever shows, copies or samples windows shares this object.
    """

    def __init__(self, worker: ServingWorker) -> None:
        self._worker = worker
        settings = worker.settings
        self.windows = tuple(sorted({*settings.windows, settings.window_seconds}))
        self.rule_window = settings.window_seconds
        self._cooldown = settings.alert_cooldown_sec
        self._rolling: dict[Market, Rolling] = {}
        # Whether someone beside the web view goes on using the sums.
        self.is_kept = False

    @property
    def owner(self) -> str:
        """The address of the worker that serves them."""
        return self._worker.address

    def now(self) -> float:
        """Return the time, unix seconds, by the clock that counts."""
        return self._worker.now()

    @property
    def is_serving(self) -> bool:
        """Whether the worker has what is assigned to it: not while partitions move and tables are restored."""
        worker = self._worker
        return not worker.is_rebalancing and worker.has_recovered and not worker.is_ending

    @property
    def lacking(self) -> str:
        """What keeps the worker from having every window as its last owner had it, for a note; empty where it has."""
        partitions = self.partitions()
        if not self.is_serving or not self._worker.has_all(partitions):
            return TAKING_OVER
        if not all(self._worker.has_caught_up(partition) for partition in partitions):
            return CATCHING_UP
        return ""

    def partitions(self) -> list[int]:
        """Return the partitions that are served now."""
        return self._worker.partitions()

    async def load(self) -> bool:
        """Bring markets into memory that have not traded since the worker took their partition over.

        Return whether all is there; what takes long goes on, and is waited for by the next who asks.
        """
        if self.is_serving:
            await self._worker.preload(self.partitions(), LOAD_SECONDS)
        return not self.lacking

    def rollings(self) -> list[tuple[int, Rolling]]:
        """Return (partition, windows) of every market in memory; forgets those that moved away."""
        known, self._rolling = self._rolling, {}
        found = []
        for partition, market in self._worker.markets():
            if market.watermark >= 0:
                rolling = known.get(market) or Rolling(market, self.windows)
                self._rolling[market] = rolling
                found.append((partition, rolling))
        return found

    def forget(self) -> None:
        """Drop the sums: nobody is looking."""
        if not self.is_kept:
            self._rolling.clear()

    def find(self, venue: str, symbol: str) -> tuple[int, Market] | None:
        """Return (partition, market) where it is in memory here."""
        for partition, market in self._worker.markets():
            if market.symbol == symbol and market.venue == venue:
                return partition, market
        return None

    def rules_of(self, market: AnyMarket) -> tuple[ShownRule, ...]:
        """Return the rules that judge a market."""
        return self._worker.rules_of(market)

    def measured(self, market: AnyMarket, rule_window: WindowFigures) -> Mapping[str, float | None]:
        """Return what each rule that judges a market measures of its rule window, in whole units, by rule."""
        return self._worker.measured(market, rule_window)

    def missing(self, rolling: Rolling) -> list[int] | None:
        """Return how many trades are missing in each window of a market; None where its ids do not say."""
        return rolling.missing() if self._worker.numbers_trades(rolling.market) else None

    def standing(self, market: AnyMarket, windows: Sequence[WindowFigures]) -> Standing:
        """Return the rules of a market and what they measure; ``windows`` are the figures of all its windows."""
        measured = self.measured(market, windows[self.windows.index(self.rule_window)])
        return Standing(self.rules_of(market), measured, self.rule_window)

    def latest_alerts(self, market: Market) -> dict[str, LatestAlert]:
        """Return the latest alert of each rule that judges a market and has raised one, by the rule's name."""
        found = {}
        for rule in self.rules_of(market):
            alert = latest_alert(market, rule.name, self._cooldown, self._worker.is_retracted)
            if alert is not None:
                found[rule.name] = alert
        return found


def latest_alert(
    market: Market, rule: str, cooldown: int, is_retracted: Callable[[Market, str, int], bool]
) -> LatestAlert | None:
    """Return the rule's latest alert, with the highest severity of its episode; None where there was none."""
    marks = market.marks.get(rule)
    if not marks:
        return None
    at = bisect_right(marks, market.watermark, key=lambda mark: mark.pane)
    if not at:
        return None
    last = marks[at - 1]
    episode = [mark for mark in marks[:at] if mark.episode == last.episode]
    standing = [mark for mark in episode if not is_retracted(market, rule, mark.pane)]
    told = standing or episode
    return LatestAlert(
        rule=rule,
        pane=told[-1].pane,
        severity=SEVERITIES[max(mark.severity for mark in told) - 1],
        episode=last.episode,
        open=bool(standing) and market.watermark < last.pane + cooldown,
        retracted=not standing,
    )
