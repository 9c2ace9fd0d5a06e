"""Fold a frame into a market's panes and raise what the rules say, pane by pane. Pure: no I/O, no clock.

A frame is cut into runs of trades of one pane. Each run is counted, then the window that ends with its pane is
judged, so an alert does not depend on how trades were grouped into frames.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from agents.counting.runs import Row, Run, Trades, refusal_of
from agents.rules.book import Rule, RuleBook, severity_name
from streams.model.alert import Alert
from streams.model.frames import KIND_MASK, KIND_SHIFT, SIDE_MASK, SNAPSHOT
from streams.model.trade import Kind
from tables.market.episodes import Mark, Verdict, judge
from tables.market.identities import add_id, add_range
from tables.market.panes import PANE_US
from tables.market.state import Market

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


class Evaluator:
    """Folds frames of any market under one set of rules. Holds no state but what it has yet to send of each alert."""

    def __init__(self, rules: RuleBook, *, window: int, cooldown: int, max_future_us: int) -> None:
        self.rules = rules
        self.window = window
        self.cooldown = cooldown
        self.max_future_us = max_future_us
        # Alerts whose row may have grown since it was sent: sent again at the next flush.
        self._unsettled: dict[Market, dict[int, Mark]] = {}

    def fold(
        self, market: Market, trades: Trades, *, message_us: int, partition: int, offset: int, start: int = 0
    ) -> Outcome:
        """Count a message's trades from ``start`` on and judge each pane they touch.

        Returns early (``done`` < len(trades)) when state must be flushed before event time may run on; call again
        with ``start=done``. ``message_us`` is the message's time, the reference for trades stamped in the future.
        """
        outcome = Outcome(done=start)
        latest_us = message_us + self.max_future_us
        for run in trades.runs(PANE_US, latest_us):
            if run.start < start:
                continue
            if market.must_flush_before(run.number):
                break
            if market in self._unsettled and run.number > market.watermark:
                self._settle_leaving(market, run.number, outcome, partition, offset)
            live = _count_run(market, trades, run, latest_us, outcome)
            market.received_us = max(market.received_us, trades.received_us)
            if live is not None:
                self._judge(market, run.number, live=live, outcome=outcome, partition=partition, offset=offset)
            outcome.done = run.end
        market.is_midway = outcome.done < len(trades)
        if not market.is_midway:
            market.offset = max(market.offset, offset)
        return outcome

    def _judge(self, market: Market, number: int, *, live: bool, outcome: Outcome, partition: int, offset: int) -> None:
        rule = self.rules.rule_for(market.symbol)
        marks = market.marks.setdefault(rule.name, [])
        if live:
            if number == market.watermark:
                sums = iter([(number, market.volume, market.liquidated)])
            else:
                # A trade came late: every later window that holds it, and is still whole, may have crossed now.
                kept_from = market.oldest + self.window - 1
                sums = market.sums(max(number, kept_from), min(number + self.window - 1, market.watermark))
            for pane, volume, liquidated in sums:
                severity = rule.severity(liquidated if rule is self.rules.futures else volume)
                if severity:
                    verdict, mark = judge(marks, pane, severity, self.cooldown)
                    if verdict is not Verdict.QUIET and mark is not None:
                        outcome.alerts.append(self._alert(market, rule, mark, partition, offset))
                        outcome.raised.append((rule.name, severity_name(mark.severity)))
        if marks and marks[-1].pane >= number:
            kept_from = market.oldest + self.window - 1
            for mark in marks:
                if number <= mark.pane < number + self.window and mark.pane >= kept_from:
                    self._unsettled.setdefault(market, {})[mark.pane] = mark

    def _settle_leaving(self, market: Market, number: int, outcome: Outcome, partition: int, offset: int) -> None:
        """Send rows whose window loses panes when event time advances to ``number``."""
        unsettled = self._unsettled[market]
        rule = self.rules.rule_for(market.symbol)
        for pane in sorted(unsettled):
            if pane - self.window <= number - market.span.retention:
                outcome.alerts.append(self._alert(market, rule, unsettled.pop(pane), partition, offset))
        if not unsettled:
            del self._unsettled[market]

    def settle_all(self, partition: int, markets: Iterable[Market]) -> list[Alert]:
        """Return the rows of alerts that have grown since they were sent, for a flush."""
        alerts = []
        for market in markets:
            unsettled = self._unsettled.pop(market, None)
            if unsettled:
                rule = self.rules.rule_for(market.symbol)
                alerts += [
                    self._alert(market, rule, unsettled[pane], partition, market.offset) for pane in sorted(unsettled)
                ]
        return alerts

    def drop(self, markets: Iterable[Market]) -> None:
        """Forget markets whose partition has moved to another worker."""
        for market in markets:
            self._unsettled.pop(market, None)

    def _alert(self, market: Market, rule: Rule, mark: Mark, partition: int, offset: int) -> Alert:
        figures = market.figures(mark.pane, self.window)
        return Alert(
            rule=rule.name,
            venue=market.venue,
            symbol=market.symbol,
            pane=mark.pane,
            severity=severity_name(mark.severity),
            threshold_micro_usd=rule.threshold_micro_usd,
            episode=mark.episode,
            window_seconds=self.window,
            window_start=mark.pane - self.window + 1,
            window_end=mark.pane + 1,
            received_us=market.received_us,
            partition=partition,
            offset=offset,
            **msgspec.structs.asdict(figures),
        )


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
