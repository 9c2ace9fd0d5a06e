"""Fold a frame into a market's panes and raise what the rules say, pane by pane. Pure: no I/O, no clock.

A frame is cut into runs of trades of one pane. Each run is counted, then the windows it changed are judged, so an alert
does not depend on how trades were grouped into frames. Rules whose figure only grows are judged after each run. Rules
whose figure can fall are judged when the market's clock leaves a pane. Trades that come late are judged one by one.
"""

from collections.abc import Iterable, Iterator

import msgspec

from agents.counting.column_runs import Run
from agents.counting.runs import Trades
from agents.counting.tally import Outcome, count_rows, count_run, moves_clock
from agents.rules.base import Rule, Timing, severity_name
from agents.rules.book import RuleBook
from agents.rules.window import JudgedWindow, KnownWindow
from streams.model.alert import Alert
from streams.model.units import USD
from tables.market.episodes import Mark, Verdict, judge
from tables.market.panes import PANE_US, copy_of
from tables.market.state import Market


class Position(msgspec.Struct, frozen=True):
    """The message under way, on the topic ``trades``."""

    partition: int
    offset: int


class MarketRules(msgspec.Struct, frozen=True):
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
        self._window = JudgedWindow(window)
        self._rules: dict[Market, MarketRules] = {}
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
        position = Position(partition, offset)
        latest_us = message_us + self.max_future_us
        rules = self._rules_of(market)
        for run in trades.runs(PANE_US, latest_us):
            if run.start < start:
                continue
            if market.must_flush_before(run.number):
                break
            if run.number > market.watermark:
                if rules.closed and moves_clock(trades, run, latest_us):
                    self._close_pane(market, rules, outcome, position)
                if market in self._unsettled:
                    self._settle_leaving(market, run.number, outcome, position)
            market.received_us = max(market.received_us, trades.received_us)
            if run.number < market.watermark:
                touched = self._count_late(market, rules, trades, run, latest_us, outcome, position)
            else:
                touched = count_run(market, trades, run, latest_us, outcome) is not None
                # What a snapshot adds to a pane with live trades counts too, in whatever frame it came.
                if touched and market.is_live(market.watermark):
                    self._judge_newest(market, rules, outcome, position)
            if touched:
                self._unsettle(market, rules, run.number)
            outcome.done = run.end
        market.took(offset, outcome.done, len(trades))
        return outcome

    def end(self, market: Market, *, partition: int, offset: int) -> Outcome:
        """Judge the newest pane as over: nothing follows it, since its recording has ended."""
        outcome = Outcome()
        self._close_pane(market, self._rules_of(market), outcome, Position(partition, offset))
        market.took(offset, 0, 0)
        return outcome

    def turn_back(self, market: Market, *, message_us: int, offset: int) -> bool:
        """Forget what lies later than a trade of a message of this time may; return whether anything did.

        The market's clock ran ahead, and its trades came too late ever since.
        """
        is_turned = market.turn_back((message_us + self.max_future_us) // PANE_US)
        unsettled = self._unsettled.get(market, {})
        for key in [key for key in unsettled if key[1] > market.watermark]:
            del unsettled[key]
        market.took(offset, 0, 0)
        return is_turned

    def _rules_of(self, market: Market) -> MarketRules:
        rules = self._rules.get(market)
        if rules is None:
            applying = self.rules.of(market)
            rules = self._rules[market] = MarketRules(
                {rule.name: rule for rule in applying},
                tuple(rule for rule in applying if rule.timing is Timing.GROWING),
                tuple(rule for rule in applying if rule.timing is Timing.CLOSED),
            )
            market.judges_closed_panes = bool(rules.closed)
        return rules

    def _close_pane(self, market: Market, rules: MarketRules, outcome: Outcome, position: Position) -> None:
        """Judge the newest pane by the rules that wait for its end, before the clock moves on."""
        if market.is_live(market.watermark):
            self._window.at(market, market.watermark, market.volume, market.liquidated)
            for rule in rules.closed:
                self._judge_window(market, rule, outcome, position)

    def _count_late(
        self,
        market: Market,
        rules: MarketRules,
        trades: Trades,
        run: Run,
        latest_us: int,
        outcome: Outcome,
        position: Position,
    ) -> bool:
        """Count a late run and judge its trades one by one. Return whether it touched a pane.

        Which window alerts first decides which others stay quiet, so trades judged together would give other rows.
        If no window reaches a step with all of them, none did on the way, where the rules' figures only grow.
        """
        if run.end - run.start > 1 and not rules.closed:
            before = copy_of(market.pane(run.number))
            together = Outcome()
            live = count_run(market, trades, run, latest_us, together)
            if not live or not self._crosses(market, rules.growing, run.number):
                outcome.add(together)
                return live is not None
            market.put_back(run.number, before)
        return self._count_one_by_one(market, rules, trades, run, latest_us, outcome, position)

    def _count_one_by_one(
        self,
        market: Market,
        rules: MarketRules,
        trades: Trades,
        run: Run,
        latest_us: int,
        outcome: Outcome,
        position: Position,
    ) -> bool:
        """Count a late run, each trade judged before the next changes anything. A stretch of copies is judged once."""
        touched = growing_told = closed_told = False
        for at in range(run.start, run.end):
            counted = outcome.counted
            live = count_rows(market, trades.rows, Run(run.number, at, at + 1), latest_us, outcome)
            touched = touched or live is not None
            if outcome.counted > counted:
                growing_told = closed_told = False
            if live and not growing_told:
                growing_told = True
                self._judge_late(market, rules.growing, run.number, market.watermark, outcome, position)
            # What a replay does not contain yet could take a figure that falls across its threshold, and back.
            if live and not closed_told and rules.closed and not market.is_judged(position.offset, at):
                closed_told = True
                self._judge_late(market, rules.closed, run.number, market.watermark - 1, outcome, position)
        return touched

    def _crosses(self, market: Market, rules: tuple[Rule, ...], number: int) -> bool:
        """Whether a window with a late trade reaches a rule's first step."""
        return any(
            (measured := rule.measure(window)) is not None and measured >= rule.steps[0]
            for window in self._late_windows(market, number, market.watermark)
            for rule in rules
        )

    def _judge_newest(self, market: Market, rules: MarketRules, outcome: Outcome, position: Position) -> None:
        """Judge the newest window by the rules that need not wait for its pane's end."""
        self._window.at(market, market.watermark, market.volume, market.liquidated)
        for rule in rules.growing:
            self._judge_window(market, rule, outcome, position)

    def _judge_late(
        self, market: Market, rules: tuple[Rule, ...], number: int, newest: int, outcome: Outcome, position: Position
    ) -> None:
        for _ in self._late_windows(market, number, newest):
            for rule in rules:
                self._judge_window(market, rule, outcome, position)

    def _late_windows(self, market: Market, number: int, newest: int) -> Iterator[JudgedWindow]:
        """Yield each window, up to the one that ends with ``newest``, that holds pane ``number`` and is still whole.

        Those that end with a pane that only snapshots have filled are left out.
        """
        kept_from = market.oldest + self.window - 1
        last = min(number + self.window - 1, newest)
        quiet = market.quiet_panes(number, last)
        for pane, volume, liquidated in market.sums(max(number, kept_from), last):
            if pane not in quiet:
                self._window.at(market, pane, volume, liquidated)
                yield self._window

    def _judge_window(self, market: Market, rule: Rule, outcome: Outcome, position: Position) -> None:
        measured = rule.measure(self._window)
        # Asked once per run: nearly always the answer is no.
        if measured is None or measured < rule.steps[0]:
            return
        marks = market.marks.setdefault(rule.name, [])
        verdict, mark = judge(marks, self._window.pane, rule.severity(measured), self.cooldown)
        if verdict is not Verdict.QUIET and mark is not None:
            raised = position.offset if verdict is Verdict.NEW else None
            outcome.alerts.append(self._alert(market, rule, mark, position, raised_offset=raised))
            outcome.raised.append((rule.name, severity_name(mark.severity)))

    def _unsettle(self, market: Market, rules: MarketRules, number: int) -> None:
        """Remember the alerts whose windows hold a pane that has changed."""
        if not market.marks:
            # Empty lists: heads of 0.1 (commit 1a202df) have them too, and stay byte for byte.
            market.marks.update((rule.name, []) for rule in rules.growing)
        for name, marks in market.marks.items():
            if marks and marks[-1].pane >= number and name in rules.all:
                kept_from = market.oldest + self.window - 1
                for mark in marks:
                    if number <= mark.pane < number + self.window and mark.pane >= kept_from:
                        self._unsettled.setdefault(market, {})[name, mark.pane] = mark

    def _settle_leaving(self, market: Market, number: int, outcome: Outcome, position: Position) -> None:
        """Send rows whose window loses panes when event time advances to ``number``."""
        unsettled = self._unsettled[market]
        last_leaving = number - market.span.retention + self.window
        leaving = [key for key in unsettled if key[1] <= last_leaving]
        if not leaving:
            return
        outcome.alerts += self._settled(market, {key: unsettled.pop(key) for key in leaving}, position)
        if not unsettled:
            del self._unsettled[market]

    def settle_all(self, partition: int, markets: Iterable[Market]) -> list[Alert]:
        """Return the rows of alerts that may have changed since they were sent, for a flush."""
        alerts: list[Alert] = []
        for market in markets:
            unsettled = self._unsettled.pop(market, None)
            if unsettled:
                alerts += self._settled(market, unsettled, Position(partition, market.offset))
        return alerts

    def _settled(self, market: Market, unsettled: dict[tuple[str, int], Mark], position: Position) -> Iterator[Alert]:
        rules = self._rules[market].all
        for name, pane in sorted(unsettled, key=lambda key: (key[1], key[0])):
            yield self._alert(market, rules[name], unsettled[name, pane], position, raised_offset=None)

    def drop(self, markets: Iterable[Market]) -> None:
        """Forget markets whose partition has moved to another worker."""
        for market in markets:
            self._unsettled.pop(market, None)
            self._rules.pop(market, None)

    def _alert(self, market: Market, rule: Rule, mark: Mark, position: Position, *, raised_offset: int | None) -> Alert:
        figures = market.figures(mark.pane, self.window)
        window = KnownWindow(figures)
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
            partition=position.partition,
            offset=position.offset,
            unit=rule.unit.name,
            threshold=rule.threshold,
            measured=rule.measure(window),
            severity_step=rule.steps[mark.severity - 1],
            cooldown_seconds=self.cooldown,
            raised_offset=raised_offset,
            retracted=rule.takes_back(window),
            covered_since=market.covered_since,
            **msgspec.structs.asdict(figures),
        )
