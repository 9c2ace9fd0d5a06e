"""The judge: windows and alerts recomputed by brute force from a plain list of trades.

Shares no code with the program and uses the standard library only, so that an error in the program cannot hide
here. Slow and obvious on purpose: every figure is read off the list of the window's trades.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

SEVERITIES = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
IN_WINDOWS = ("fill", "liquidation")

MICRO_USD = 10**6
NANO = 10**9
PRODUCT_UNIT = 10**15  # price x base quantity is kept in 1e-15 USD
BASE_UNIT = 10**14  # base quantity is kept in 1e-14 units

AMOUNTS = {
    "total_volume_usd": "total_volume_micro_usd",
    "buy_volume_usd": "buy_volume_micro_usd",
    "sell_volume_usd": "sell_volume_micro_usd",
    "liquidation_volume_usd": "liquidation_volume_micro_usd",
    "liquidation_long_usd": "liquidation_long_micro_usd",
    "liquidation_short_usd": "liquidation_short_micro_usd",
    "largest_trade_usd": "largest_trade_micro_usd",
}
PLAIN = ("count", "vwap", "price_change_pct", "realized_volatility", "first_price", "last_price", "high", "low")

Market = tuple[str, str]
Figures = dict[str, Any]


@dataclass(frozen=True)
class OracleTrade:
    """One trade as a person would write it down.

    ``side`` is buy, sell or unknown. ``kind`` is fill, liquidation or another word of the venue. ``id`` is the venue's
    integer or the text of a uuid. ``qty`` is in the product's own unit. ``labelled`` says whether the market's trades
    carry liquidation labels; None: as Kraken's symbols say.
    """

    venue: str
    symbol: str
    id: int | str
    side: str
    kind: str
    price: Decimal
    qty: Decimal
    time_us: int
    is_snapshot: bool = False
    labelled: bool | None = None


@dataclass(frozen=True)
class Terms:
    """The settings that decide windows and alerts. Thresholds in USD, the rest in seconds."""

    window_seconds: int = 300
    retention_seconds: int = 4200
    volume_threshold_usd: Decimal = Decimal(1_000_000)
    liquidation_threshold_usd: Decimal = Decimal(250_000)
    cooldown_seconds: int = 300
    multiples: tuple[Decimal, ...] = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
    price_move_pct: Decimal | None = None
    # A recording that has ended: no trade follows, so the newest pane of each market is over.
    has_ended: bool = False
    # Judge volume and liquidations trade by trade too: where trades come late, which window alerts depends on it.
    in_order_given: bool = False


@dataclass(frozen=True)
class _Valued:
    """A counted trade with what follows from it alone."""

    trade: OracleTrade
    number: int
    pane: int
    notional: int  # micro-USD
    product: int  # 1e-15 USD
    base: int  # 1e-14 units of the base currency

    @property
    def order(self) -> tuple[int, int]:
        return (self.trade.time_us, self.number)


def is_spot(symbol: str) -> bool:
    """Spot markets are written BASE/QUOTE."""
    return "/" in symbol


def is_inverse(symbol: str) -> bool:
    """Inverse futures trade contracts of 1 USD."""
    return symbol.startswith(("PI_", "FI_"))


def id_number(trade_id: int | str) -> int:
    """Return the integer by which ids are compared: a uuid is its 128-bit value."""
    return UUID(trade_id).int if isinstance(trade_id, str) else trade_id


def notional_micro_usd(trade: OracleTrade) -> int:
    """USD notional in micro-USD, rounded once, half to even."""
    usd = Fraction(trade.qty) if is_inverse(trade.symbol) else Fraction(trade.price) * Fraction(trade.qty)
    return round(usd * MICRO_USD)


def in_usd(figures: Figures) -> Figures:
    """Return figures of a window or pane by the names and units of the API."""
    return {name: figures[micro] / MICRO_USD for name, micro in AMOUNTS.items()} | {
        name: figures[name] for name in PLAIN
    }


def _value(trade: OracleTrade) -> _Valued:
    price, qty = Fraction(trade.price), Fraction(trade.qty)
    if is_inverse(trade.symbol):
        product, base = qty, qty / price
    else:
        product, base = price * qty, qty
    return _Valued(
        trade=trade,
        number=id_number(trade.id),
        pane=trade.time_us // 1_000_000,
        notional=notional_micro_usd(trade),
        product=round(product * PRODUCT_UNIT),
        base=round(base * BASE_UNIT),
    )


class _History:
    """Everything counted for one market, split by what enters windows and ordered by (time, id)."""

    def __init__(self) -> None:
        self.watermark = -1
        self.labelled = False
        self.counted: dict[int, _Valued] = {}
        # Panes of which a live trade came when they held figures, or that it gave figures.
        self.live_panes: set[int] = set()
        self.panes_with_figures: set[int] = set()
        # Every trade that was not too late, in the order given: whether it may raise an alert, and whether it is new.
        self.arrivals: list[tuple[_Valued, bool, bool]] = []
        self.rows: list[_Valued] = []
        self.row_panes: list[int] = []

    def settle(self) -> None:
        self.rows = sorted((v for v in self.counted.values() if v.trade.kind in IN_WINDOWS), key=lambda v: v.order)
        self.row_panes = [v.pane for v in self.rows]

    def between(self, first_pane: int, last_pane: int) -> list[_Valued]:
        return self.rows[bisect_left(self.row_panes, first_pane) : bisect_right(self.row_panes, last_pane)]


def _figures(rows: list[_Valued]) -> Figures:
    def total(*, side: str | None = None, liquidations: bool = False) -> int:
        return sum(
            v.notional
            for v in rows
            if side in (None, v.trade.side) and (not liquidations or v.trade.kind == "liquidation")
        )

    first, last = float(rows[0].trade.price), float(rows[-1].trade.price)
    prices = [v.trade.price for v in rows]
    closes = [float(price) for price in {v.pane: v.trade.price for v in rows}.values()]
    returns = [math.log(now / before) for before, now in pairwise(closes)]
    base = sum(v.base for v in rows)
    return {
        "count": len(rows),
        "total_volume_micro_usd": total(),
        "buy_volume_micro_usd": total(side="buy"),
        "sell_volume_micro_usd": total(side="sell"),
        "liquidation_volume_micro_usd": total(liquidations=True),
        # The liquidation order is the taker: who sells was long.
        "liquidation_long_micro_usd": total(side="sell", liquidations=True),
        "liquidation_short_micro_usd": total(side="buy", liquidations=True),
        "largest_trade_micro_usd": max(v.notional for v in rows),
        "vwap": float(Fraction(sum(v.product for v in rows) * BASE_UNIT, base * PRODUCT_UNIT)),
        "price_change_pct": (last - first) / first * 100.0,
        "realized_volatility": math.sqrt(math.fsum(r * r for r in returns)),
        "first_price": first,
        "last_price": last,
        "high": float(max(prices)),
        "low": float(min(prices)),
    }


class Oracle:
    """What the program must have found after it was given these trades in this order.

    ``counted``, ``duplicates`` and ``late`` count trades by venue; blocks and all other kinds are among ``counted``,
    though they enter no figure.
    """

    def __init__(self, trades: Iterable[OracleTrade], terms: Terms | None = None) -> None:
        self.terms = terms or Terms()
        self.counted: Counter[str] = Counter()
        self.duplicates: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self._histories: dict[Market, _History] = defaultdict(_History)
        for trade in trades:
            self._take(trade)
        for history in self._histories.values():
            history.settle()

    def _take(self, trade: OracleTrade) -> None:
        valued = _value(trade)
        history = self._histories[trade.venue, trade.symbol]
        history.labelled = not is_spot(trade.symbol) if trade.labelled is None else trade.labelled
        history.watermark = max(history.watermark, valued.pane)
        if valued.pane < history.watermark - self.terms.retention_seconds + 1:
            self.late[trade.venue] += 1
            return
        is_live = trade.kind in IN_WINDOWS and not trade.is_snapshot
        is_new = valued.number not in history.counted
        history.arrivals.append((valued, is_live, is_new))
        if is_new and trade.kind in IN_WINDOWS:
            history.panes_with_figures.add(valued.pane)
        if is_live and valued.pane in history.panes_with_figures:
            # Also for a copy of a row that a snapshot brought first. Whether an alert is raised must not depend on
            # which of two producers was faster.
            history.live_panes.add(valued.pane)
        if not is_new:
            self.duplicates[trade.venue] += 1
            return
        history.counted[valued.number] = valued
        self.counted[trade.venue] += 1

    def markets(self) -> list[Market]:
        """Return the markets seen, sorted."""
        return sorted(self._histories)

    def watermark(self, venue: str, symbol: str) -> int:
        """Return the greatest pane seen, unix seconds."""
        return self._histories[venue, symbol].watermark

    def window(self, venue: str, symbol: str, pane: int, window_seconds: int | None = None) -> Figures | None:
        """Return the figures of the window that ends with ``pane``; None where it holds no trade."""
        seconds = window_seconds or self.terms.window_seconds
        rows = self._histories[venue, symbol].between(pane - seconds + 1, pane)
        return _figures(rows) if rows else None

    def panes(self, venue: str, symbol: str) -> dict[int, Figures]:
        """Return the figures of each pane still kept, and the ids it has counted (ascending, blocks included)."""
        history = self._histories[venue, symbol]
        ids: dict[int, list[int]] = defaultdict(list)
        for number, valued in sorted(history.counted.items()):
            if valued.pane > history.watermark - self.terms.retention_seconds:
                ids[valued.pane].append(number)
        panes = {}
        for pane in sorted(ids):
            rows = history.between(pane, pane)
            panes[pane] = (_figures(rows) if rows else {"count": 0}) | {"ids": ids[pane]}
        return panes

    def alerts(self) -> list[Figures]:
        """Return every alert, by market and pane, with the figures of its window at the end of its pane.

        Volume and liquidations are judged in the order of panes, whatever order trades arrived in, unless the terms
        ask for the order given. Price moves can be taken back, so they always are: when the clock leaves a pane, and
        at each trade behind it.
        """
        return [alert for market in self.markets() for alert in self._alerts_of_market(market)]

    def _alerts_of_market(self, market: Market) -> list[Figures]:
        terms, history = self.terms, self._histories[market]
        if terms.in_order_given:
            alerts = _InOrder(history, terms, market, self._amount_rule(history)).alerts()
        else:
            alerts = [*self._alerts_of(market)]
        if terms.price_move_pct is not None:
            rule = _Judging("price_move", "percent", NANO, terms.price_move_pct, _moved_nano_percent, can_fall=True)
            alerts += _InOrder(history, terms, market, rule).alerts()
        return sorted(alerts, key=lambda alert: (alert["pane"], alert["rule"]))

    def _amount_rule(self, history: _History) -> "_Judging":
        if history.labelled:
            return _Judging("liquidation", "usd", MICRO_USD, self.terms.liquidation_threshold_usd, _liquidated)
        return _Judging("volume", "usd", MICRO_USD, self.terms.volume_threshold_usd, _traded)

    def _alerts_of(self, market: Market) -> Iterable[Figures]:
        venue, symbol = market
        terms, history = self.terms, self._histories[market]
        rule = "liquidation" if history.labelled else "volume"
        threshold = terms.volume_threshold_usd if rule == "volume" else terms.liquidation_threshold_usd
        episode = last_alert = highest = None
        for pane in sorted(history.live_panes):
            first_pane = pane - terms.window_seconds + 1
            amount = sum(
                v.notional
                for v in history.between(first_pane, pane)
                if rule == "volume" or v.trade.kind == "liquidation"
            )
            reached = [
                level for level, m in enumerate(terms.multiples) if amount >= Fraction(threshold * m) * MICRO_USD
            ]
            if not reached:
                continue
            severity = reached[-1]
            if last_alert is None or pane >= last_alert + terms.cooldown_seconds:
                episode = pane
            elif highest is not None and severity <= highest:
                continue
            last_alert, highest = pane, severity
            yield {
                "rule": rule,
                "venue": venue,
                "symbol": symbol,
                "pane": pane,
                "severity": SEVERITIES[severity],
                "threshold_micro_usd": round(Fraction(threshold) * MICRO_USD),
                "episode": episode,
                "window_seconds": terms.window_seconds,
                "window_start": first_pane,
                "window_end": pane + 1,
                "unit": "usd",
                "threshold": round(Fraction(threshold) * MICRO_USD),
                "measured": amount,
                "severity_step": round(Fraction(threshold * terms.multiples[severity]) * MICRO_USD),
                "cooldown_seconds": terms.cooldown_seconds,
                "retracted": False,
                **_figures(history.between(first_pane, pane)),
            }


@dataclass(frozen=True)
class _Judging:
    """What one rule compares: ``measure`` of the window's rows with multiples of ``threshold``, in 1/``scale``."""

    name: str
    unit: str
    scale: int
    threshold: Decimal
    measure: Callable[[list[_Valued]], int]
    can_fall: bool = False

    def integer(self, multiple: Decimal = Decimal(1)) -> int:
        return round(Fraction(self.threshold * multiple) * self.scale)


def _traded(rows: list[_Valued]) -> int:
    return sum(v.notional for v in rows)


def _liquidated(rows: list[_Valued]) -> int:
    return sum(v.notional for v in rows if v.trade.kind == "liquidation")


def _moved_nano_percent(rows: list[_Valued]) -> int:
    """Last price against first, in percent as integers of 1e-9, cut off."""
    first, last = float(rows[0].trade.price), float(rows[-1].trade.price)
    return math.floor(abs(Fraction((last - first) / first * 100.0)) * NANO)


class _InOrder:
    """The alerts of one rule on one market: the trades are gone through one by one, in the order given.

    A window is judged at each trade of its last pane, or when that pane is over if the figure can fall. It is judged
    again when a trade comes behind the clock. What was alerted stays, with the figures of its window as long as that
    is kept whole.
    """

    def __init__(self, history: _History, terms: Terms, market: Market, rule: _Judging) -> None:
        self.history, self.terms, self.market, self.rule = history, terms, market, rule
        self.threshold = rule.integer()
        self.steps = [rule.integer(multiple) for multiple in terms.multiples]
        self.rows: list[_Valued] = []
        self.live_panes: set[int] = set()
        self.clock = -1
        self.found: dict[int, Figures] = {}
        self.changed: set[int] = set()

    def alerts(self) -> list[Figures]:
        for valued, live, new in self.history.arrivals:
            if valued.pane > self.clock:
                if self.rule.can_fall:
                    self._judge(self.clock)
                self._show_what_leaves(valued.pane)
                self.clock = valued.pane
            if new and valued.trade.kind in IN_WINDOWS:
                insort(self.rows, valued, key=lambda v: v.order)
                self.changed |= {
                    pane
                    for pane in self.found
                    if valued.pane <= pane < valued.pane + self.terms.window_seconds and self._is_whole(pane)
                }
            # A live copy of what came as a block first adds nothing: its pane may hold no figures.
            if live and self._between(valued.pane, valued.pane):
                self.live_panes.add(valued.pane)
            if valued.pane == self.clock:
                # What a snapshot adds to a pane with live trades counts too, whichever of them came first.
                if not self.rule.can_fall:
                    self._judge(self.clock)
            elif live:
                self._judge_late(valued.pane)
        if self.terms.has_ended and self.rule.can_fall:
            self._judge(self.clock)
        for pane in self.changed:
            self._show(self.found[pane])
        return [self.found[pane] for pane in sorted(self.found)]

    def _judge_late(self, pane: int) -> None:
        for number in self._panes_with(pane):
            if self._is_whole(number) and (number < self.clock or not self.rule.can_fall):
                self._judge(number)

    def _is_whole(self, pane: int) -> bool:
        return pane - self.terms.window_seconds > self.clock - self.terms.retention_seconds - 1

    def _between(self, first_pane: int, last_pane: int) -> list[_Valued]:
        first = bisect_left(self.rows, first_pane, key=lambda v: v.pane)
        return self.rows[first : bisect_right(self.rows, last_pane, key=lambda v: v.pane)]

    def _panes_with(self, pane: int) -> list[int]:
        return sorted({v.pane for v in self._between(pane, pane + self.terms.window_seconds - 1)})

    def _show_what_leaves(self, clock: int) -> None:
        """Write the figures of rows whose window is kept whole for the last time."""
        for pane in [p for p in self.changed if p - self.terms.window_seconds <= clock - self.terms.retention_seconds]:
            self._show(self.found[pane])
            self.changed.discard(pane)

    def _show(self, alert: Figures) -> None:
        rows = self._between(alert["window_start"], alert["pane"])
        alert.update(_figures(rows))
        alert["measured"] = self.rule.measure(rows)
        alert["retracted"] = alert["measured"] < self.steps[0]

    def _judge(self, pane: int) -> None:
        """Judge the window that ends with a pane. What a snapshot alone has filled is not judged."""
        if pane not in self.live_panes:
            return
        window = self._between(pane - self.terms.window_seconds + 1, pane)
        measured = self.rule.measure(window)
        reached = sum(measured >= step for step in self.steps)
        if not reached:
            return
        if pane in self.found:
            alert = self.found[pane]
            reached = max(reached, SEVERITIES.index(alert["severity"]) + 1)
        else:
            levels = {at: SEVERITIES.index(alert["severity"]) + 1 for at, alert in self.found.items()}
            if any(pane < at < pane + self.terms.cooldown_seconds and levels[at] >= reached for at in levels):
                return
            before = max((at for at in levels if at < pane), default=None)
            episode = pane
            if before is not None and pane < before + self.terms.cooldown_seconds:
                episode = self.found[before]["episode"]
                if reached <= max(levels[at] for at in levels if at <= before and self.found[at]["episode"] == episode):
                    return
            alert = self.found[pane] = self._alert(pane, episode)
        alert["severity"] = SEVERITIES[reached - 1]
        alert["severity_step"] = self.steps[reached - 1]
        self._show(alert)

    def _alert(self, pane: int, episode: int) -> Figures:
        venue, symbol = self.market
        return {
            "rule": self.rule.name,
            "venue": venue,
            "symbol": symbol,
            "pane": pane,
            "threshold_micro_usd": self.threshold if self.rule.unit == "usd" else 0,
            "episode": episode,
            "window_seconds": self.terms.window_seconds,
            "window_start": pane - self.terms.window_seconds + 1,
            "window_end": pane + 1,
            "unit": self.rule.unit,
            "threshold": self.threshold,
            "cooldown_seconds": self.terms.cooldown_seconds,
        }
