"""Fold a frame into a market's panes and raise what the rules say, pane by pane. Pure: no I/O, no clock.

A frame is cut into runs of trades of one pane. Each run is counted, then the windows it changed are judged, so an alert
does not depend on how trades were grouped into frames. Rules whose figure only grows are judged after each run. Rules
whose figure can fall are judged when the market's clock leaves a pane, and again for each trade that comes late.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from agents.counting.runs import Row, Run, Trades, refusal_of
from agents.rules.base import Rule, Timing, severity_name
from agents.rules.book import RuleBook
from streams.model.alert import Alert
from streams.model.figures import change_pct
from streams.model.frames import KIND_MASK, KIND_SHIFT, SIDE_MASK, SNAPSHOT
from streams.model.trade import Kind
from streams.model.units import USD
from tables.market.episodes import Mark, Verdict, judge
from tables.market.identities import add_id, add_range
from tables.market.panes import PANE_US
from tables.market.state import Market
from tables.market.windows import WindowFigures

# An enum member costs three times a plain integer, once a trade.
_LIQUIDATION: Final = int(Kind.LIQUIDATION)


class Refusal(msgspec.Struct, frozen=True):
    """A row of a frame that is no possible trade; ``at`` is its place in the frame."""

    at: int
    reason: str
    detail: str


class Outcome(msgspec.Struct):
    """What folding a frame, or a part of it, did. ``alerts`` are in the order to send."""

    counted: int = 0
    duplicates: int = 0
    late: int = 0
    done: int = 0
    alerts: list[Alert] = []
    raised: list[tuple[str, str]] = []
    refused: list[Refusal] = []


class Window:
    """The rule window of ``length`` panes that ends with one pane; one object for all that are judged in turn."""

    __slots__ = ("_figures", "_length", "_market", "liquidated", "pane", "volume")

    def __init__(self, length: int) -> None:
        self._length = length
        self.pane = -1
        self.volume = self.liquidated = 0
        self._market: Market | None = None
        self._figures: WindowFigures | None = None

    def at(self, market: Market, pane: int, volume: int, liquidated: int) -> None:
        """Turn to another pane, whose sums the caller knows, in micro-USD."""
        self._market, self.pane, self.volume, self.liquidated = market, pane, volume, liquidated
        self._figures = None

    @property
    def price_change_pct(self) -> float:
        """Last price against first: a late trade has up to ``length`` windows judged, so not by way of all figures."""
        first, last = self._judged.ends(self.pane, self._length)
        return change_pct(first.first_price, last.last_price)

    @property
    def figures(self) -> WindowFigures:
        """Every figure of the window, computed when first asked for."""
        if self._figures is None:
            self._figures = self._judged.figures(self.pane, self._length)
        return self._figures

    @property
    def _judged(self) -> Market:
        assert self._market is not None  # noqa: S101 - nobody asks before at()
        return self._market


class _Source(msgspec.Struct, frozen=True):
    """The message under way."""

    partition: int
    offset: int


class _Rules(msgspec.Struct, frozen=True):
    """The rules of one market."""

    all: dict[str, Rule]
    growing: tuple[Rule, ...]
    closed: tuple[Rule, ...]


class Evaluator:
    """Folds frames of any market under one set of rules. Holds no state but what it has yet to send of each alert."""

    def __init__(self, rules: RuleBook, *, window: int, cooldown: int, max_future_us: int) -> None:
        self.rules = rules
        self.window = window
        self.cooldown = cooldown
        self.max_future_us = max_future_us
        self._window = Window(window)
        self._rules: dict[Market, _Rules] = {}
        # Alerts, by rule and pane, whose row may have changed since it was sent: sent again at the next flush.
        self._unsettled: dict[Market, dict[tuple[str, int], Mark]] = {}

    def fold(
        self, market: Market, trades: Trades, *, message_us: int, partition: int, offset: int, start: int = 0
    ) -> Outcome:
        """Count a message's trades from ``start`` on and judge each pane they touch.

        Returns early (``done`` < len(trades)) when state must be flushed before event time may run on; call again
        with ``start=done``. ``message_us`` is the message's time, the reference for trades stamped in the future.
        """
        outcome = Outcome(done=start)
        source = _Source(partition, offset)
        latest_us = message_us + self.max_future_us
        rules = self._rules_of(market)
        for run in trades.runs(PANE_US, latest_us):
            if run.start < start:
                continue
            if market.must_flush_before(run.number):
                break
            if run.number > market.watermark:
                if rules.closed and _moves_clock(trades, run, latest_us):
                    self._close_pane(market, rules, outcome, source)
                if market in self._unsettled:
                    self._settle_leaving(market, run.number, outcome, source)
            market.received_us = max(market.received_us, trades.received_us)
            if rules.closed and run.number < market.watermark:
                live = self._count_late(market, rules, trades, run, latest_us, outcome, source)
            else:
                live = _count_run(market, trades, run, latest_us, outcome)
            if live is not None:
                self._judge(market, rules, run.number, live=live, outcome=outcome, source=source)
            outcome.done = run.end
        market.took(offset, outcome.done, len(trades))
        return outcome

    def end(self, market: Market, *, partition: int, offset: int) -> Outcome:
        """Judge the newest pane as over: nothing follows it, since its recording has ended."""
        outcome = Outcome()
        self._close_pane(market, self._rules_of(market), outcome, _Source(partition, offset))
        market.took(offset, 0, 0)
        return outcome

    def _rules_of(self, market: Market) -> _Rules:
        rules = self._rules.get(market)
        if rules is None:
            applying = self.rules.of(market)
            rules = self._rules[market] = _Rules(
                {rule.name: rule for rule in applying},
                tuple(rule for rule in applying if rule.timing is Timing.GROWING),
                tuple(rule for rule in applying if rule.timing is Timing.CLOSED),
            )
            market.judges_closed_panes = bool(rules.closed)
        return rules

    def _close_pane(self, market: Market, rules: _Rules, outcome: Outcome, source: _Source) -> None:
        """Judge the newest pane by the rules that wait for its end, before the clock moves on."""
        if market.is_live:
            market.is_live = False
            self._window.at(market, market.watermark, market.volume, market.liquidated)
            for rule in rules.closed:
                self._judge_window(market, rule, outcome, source)

    def _count_late(
        self,
        market: Market,
        rules: _Rules,
        trades: Trades,
        run: Run,
        latest_us: int,
        outcome: Outcome,
        source: _Source,
    ) -> bool | None:
        """Count a late run trade by trade, each judged by the rules that wait for panes: a figure may rise and fall.

        Return whether the run may raise an alert of other rules, or None where it touched no pane.
        """
        live: bool | None = None
        last = min(run.number + self.window - 1, market.watermark - 1)
        for at in range(run.start, run.end):
            counted = _count_rows(market, trades.rows, Run(run.number, at, at + 1), latest_us, outcome)
            if counted is None:
                continue
            live = live or counted
            # What a replay does not contain yet could take a figure that falls across its threshold, and back.
            if counted and not market.is_judged(source.offset, at):
                self._judge_late(market, rules.closed, run.number, last, outcome, source)
        return live

    def _judge(
        self, market: Market, rules: _Rules, number: int, *, live: bool, outcome: Outcome, source: _Source
    ) -> None:
        if not market.marks:
            # Empty lists: heads of the release before have them too, and stay byte for byte.
            market.marks.update((rule.name, []) for rule in rules.growing)
        if live:
            if number == market.watermark:
                if rules.closed and not market.is_live:
                    # A copy of a trade whose id came as a block first is live in a pane that may hold no figures.
                    market.is_live = market.has_figures(number)
                self._window.at(market, number, market.volume, market.liquidated)
                for rule in rules.growing:
                    self._judge_window(market, rule, outcome, source)
            else:
                last = min(number + self.window - 1, market.watermark)
                self._judge_late(market, rules.growing, number, last, outcome, source)
        self._unsettle(market, number)

    def _judge_late(
        self, market: Market, rules: tuple[Rule, ...], number: int, last: int, outcome: Outcome, source: _Source
    ) -> None:
        """Judge again every window, up to pane ``last``, that holds a late trade and is still whole."""
        kept_from = market.oldest + self.window - 1
        for pane, volume, liquidated in market.sums(max(number, kept_from), last):
            self._window.at(market, pane, volume, liquidated)
            for rule in rules:
                self._judge_window(market, rule, outcome, source)

    def _judge_window(self, market: Market, rule: Rule, outcome: Outcome, source: _Source) -> None:
        measured = rule.measure(self._window)
        # Asked once a run: nearly always the answer is no.
        if measured is None or measured < rule.steps[0]:
            return
        marks = market.marks.setdefault(rule.name, [])
        verdict, mark = judge(marks, self._window.pane, rule.severity(measured), self.cooldown)
        if verdict is not Verdict.QUIET and mark is not None:
            raised = source.offset if verdict is Verdict.NEW else None
            outcome.alerts.append(self._alert(market, rule, mark, source, raised_offset=raised))
            outcome.raised.append((rule.name, severity_name(mark.severity)))

    def _unsettle(self, market: Market, number: int) -> None:
        """Remember the alerts whose windows hold a pane that has changed."""
        rules = self._rules[market].all
        for name, marks in market.marks.items():
            if marks and marks[-1].pane >= number and name in rules:
                kept_from = market.oldest + self.window - 1
                for mark in marks:
                    if number <= mark.pane < number + self.window and mark.pane >= kept_from:
                        self._unsettled.setdefault(market, {})[name, mark.pane] = mark

    def _settle_leaving(self, market: Market, number: int, outcome: Outcome, source: _Source) -> None:
        """Send rows whose window loses panes when event time advances to ``number``."""
        unsettled = self._unsettled[market]
        last_leaving = number - market.span.retention + self.window
        leaving = [key for key in unsettled if key[1] <= last_leaving]
        if not leaving:
            return
        outcome.alerts += self._settled(market, {key: unsettled.pop(key) for key in leaving}, source)
        if not unsettled:
            del self._unsettled[market]

    def settle_all(self, partition: int, markets: Iterable[Market]) -> list[Alert]:
        """Return the rows of alerts that may have changed since they were sent, for a flush."""
        alerts: list[Alert] = []
        for market in markets:
            unsettled = self._unsettled.pop(market, None)
            if unsettled:
                alerts += self._settled(market, unsettled, _Source(partition, market.offset))
        return alerts

    def _settled(self, market: Market, unsettled: dict[tuple[str, int], Mark], source: _Source) -> Iterator[Alert]:
        rules = self._rules[market].all
        for name, pane in sorted(unsettled, key=lambda key: (key[1], key[0])):
            yield self._alert(market, rules[name], unsettled[name, pane], source, raised_offset=None)

    def drop(self, markets: Iterable[Market]) -> None:
        """Forget markets whose partition has moved to another worker."""
        for market in markets:
            self._unsettled.pop(market, None)
            self._rules.pop(market, None)

    def _alert(self, market: Market, rule: Rule, mark: Mark, source: _Source, *, raised_offset: int | None) -> Alert:
        figures = market.figures(mark.pane, self.window)
        window = Window(self.window)
        window.at(market, mark.pane, figures.total_volume_micro_usd, figures.liquidation_volume_micro_usd)
        measured = rule.measure(window)
        return Alert(
            rule=rule.name,
            venue=market.venue,
            symbol=market.symbol,
            pane=mark.pane,
            severity=severity_name(mark.severity),
            threshold_micro_usd=rule.threshold if rule.unit is USD else 0,
            episode=mark.episode,
            window_seconds=self.window,
            window_start=mark.pane - self.window + 1,
            window_end=mark.pane + 1,
            received_us=market.received_us,
            partition=source.partition,
            offset=source.offset,
            unit=rule.unit.name,
            threshold=rule.threshold,
            measured=measured,
            severity_step=rule.steps[mark.severity - 1],
            cooldown_seconds=self.cooldown,
            raised_offset=raised_offset,
            retracted=rule.timing is Timing.CLOSED and rule.severity(measured) == 0,
            **msgspec.structs.asdict(figures),
        )


def _moves_clock(trades: Trades, run: Run, latest_us: int) -> bool:
    """Whether a run ahead of the clock holds a trade that is not refused."""
    return run.summary is not None or any(refusal_of(row, latest_us) is None for row in _rows(trades, run))


def _rows(trades: Trades, run: Run) -> Sequence[Row]:
    return trades.rows[run.start : run.end]


def _count_run(market: Market, trades: Trades, run: Run, latest_us: int, outcome: Outcome) -> bool | None:
    """Count a run; return whether it may raise an alert, or None where it touched no pane."""
    summary = run.summary
    if summary is None:
        return _count_rows(market, trades.rows, run, latest_us, outcome)
    pane = market.open_pane(run.number)
    if pane is None:
        outcome.late += summary.count
        return None
    if not pane.has_room(summary.notional, summary.whole) or not add_range(pane.ids, run.low_id, run.high_id):
        return _count_rows(market, trades.rows, run, latest_us, outcome)
    pane.add_figures(summary)
    market.counted(run.number, pane, summary.notional, 0)
    outcome.counted += summary.count
    return True


def _count_rows(market: Market, rows: list[Row], run: Run, latest_us: int, outcome: Outcome) -> bool | None:
    pane = None
    live = False
    notionals = liquidations = 0
    for at in range(run.start, run.end):
        row = rows[at]
        refusal = refusal_of(row, latest_us)
        if refusal is not None:
            outcome.refused.append(Refusal(at, *refusal))
            continue
        trade_id, time_us, price, notional, rest, whole, fraction, flags = row
        if pane is None:
            pane = market.open_pane(run.number)
        if pane is None:
            outcome.late += 1
            continue
        if not pane.has_room(notional, whole):
            outcome.refused.append(Refusal(at, "magnitude", "the pane's sums would pass 64 bits"))
            continue
        kind = (flags & KIND_MASK) >> KIND_SHIFT
        counts = kind <= _LIQUIDATION
        live = live or (counts and not flags & SNAPSHOT)
        if not add_id(pane.ids, trade_id):
            outcome.duplicates += 1
            continue
        outcome.counted += 1
        if counts:
            side = flags & SIDE_MASK
            is_liquidation = kind == _LIQUIDATION
            pane.add_trade(trade_id, time_us, price, notional, rest, whole, fraction, side, is_liquidation)
            notionals += notional
            liquidations += notional if is_liquidation and side else 0
    if pane is None:
        return None
    market.counted(run.number, pane, notionals, liquidations)
    return live
