"""Fold plain rows, each a message of its own, into a market's panes many at once, where that raises no alert. Pure."""

from collections.abc import Sequence
from copy import copy

from agents.counting.evaluation import Evaluator, MarketRules, Position
from agents.counting.row_runs import MarketRuns, RowRun
from agents.counting.tally import Outcome, count_together, has_room
from agents.rules.window import NotKnown, WindowSumsOnly
from tables.market.episodes import Verdict, judge
from tables.market.panes import copy_of
from tables.market.state import Market


class RowEvaluator(Evaluator):
    """An evaluator that also folds rows of many messages together."""

    def fold_together(
        self,
        market: Market,
        run: RowRun,
        ids: Sequence[int],
        outcome: Outcome,
        *,
        partition: int,
        first_offset: int,
        last_offset: int,
    ) -> bool:
        """Count plain rows, each a message of its own, as :meth:`fold` would one after another; return whether it did.

        ``ids`` are theirs where the run is not dense.
        Where it returns false, nothing of them is counted, and they are to be folded one by one. One of them may raise
        an alert, be a copy, or come late. What the clock's step to their pane says is in the outcome in any case.
        """
        number, summary = run.number, run.summary
        if summary is None or number < market.watermark or market.must_flush_before(number):
            return False
        pane = market.pane(number)
        if not has_room(market, number, pane, summary, 2 * len(ids) or 2):
            return False
        rules, before = self._rules_of(market), copy_of(pane)
        if number > market.watermark:
            position = Position(partition, first_offset)
            if rules.closed:
                self._close_pane(market, rules, outcome, position)
            if market in self._unsettled:
                self._settle_leaving(market, number, outcome, position)
        count_together(market, number, summary, ids)
        if self._would_raise(market, rules):
            market.put_back(number, before)
            return False
        market.received_us = max(market.received_us, run.received_us)
        self._unsettle(market, rules, number)
        market.took(last_offset, 1, 1)
        return True

    def _would_raise(self, market: Market, rules: MarketRules) -> bool:
        """Whether the newest window as it is alerts. If not, it did not with fewer trades of its newest pane either."""
        window = self._window
        window.at(market, market.watermark, market.volume, market.liquidated)
        for rule in rules.growing:
            measured = rule.measure(window)
            if measured is not None and measured >= rule.steps[0]:
                marks = [copy(mark) for mark in market.marks.get(rule.name, ())]
                if judge(marks, window.pane, rule.severity(measured), self.cooldown)[0] is not Verdict.QUIET:
                    return True
        return False

    def fold_rising(self, market: Market, runs: MarketRuns, last_offset: int) -> bool:
        """Count runs of later and later panes as :meth:`fold_together` would each; return whether it did.

        They are all ahead of the market's clock. Where it returns false, nothing of them is counted. One of them may
        raise an alert, or something else may be to be done between two of them.
        """
        numbers, panes = runs.numbers, runs.panes
        rules = self._rules_of(market)
        if rules.closed or market in self._unsettled or not market.can_extend(numbers):
            return False
        volume = sum([pane.notional for pane in panes])
        if self._may_raise(rules, market.volume + volume, market.liquidated):
            return False
        market.extend(numbers, panes, volume)
        market.received_us = max(market.received_us, *runs.received_us)
        self._unsettle(market, rules, numbers[-1])
        market.took(last_offset, 1, 1)
        return True

    def _may_raise(self, rules: MarketRules, volume: int, liquidated: int) -> bool:
        """Whether a window with these sums may alert. If not, none did that holds some of its trades."""
        window = WindowSumsOnly(volume, liquidated)
        try:
            return any(rule.severity(rule.measure(window)) for rule in rules.growing)
        except NotKnown:
            return True
