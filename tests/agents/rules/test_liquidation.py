"""Liquidated notional: what it measures, where it applies, and its words."""

import pytest

from agents.rules.liquidation import Liquidation
from agents.rules.window import KnownWindow
from streams.model.trade import Kind, Side
from streams.settings import load_settings
from tests.agents.factories import an_alert
from tests.tables.market.test_rolling import count
from tests.trades import NOON
from tests.worker import MemoryWorker

MICRO = 10**6


def test_it_measures_what_was_liquidated_and_nothing_else() -> None:
    """Fills of the same window do not count."""
    worker = MemoryWorker()
    market = worker.trade("PF_XBTUSD", 0, 100.0)
    count(market, NOON + 1, 2, Side.SELL, Kind.LIQUIDATION, 93.0)
    figures = market.figures(NOON + 1, 300)
    rule = Liquidation.of(load_settings())
    assert rule.measure(KnownWindow(figures)) == figures.liquidation_long_micro_usd == 93 * MICRO


def test_it_applies_where_trades_are_labelled() -> None:
    """Futures, with the threshold of its own setting."""
    worker = MemoryWorker()
    rule = Liquidation.of(load_settings(liquidation_rule_threshold_usd=7.5))
    assert rule.threshold == 7_500_000
    assert rule.applies_to(worker.market("PF_XBTUSD"))
    assert not rule.applies_to(worker.market("BTC/USD"))


@pytest.mark.parametrize(
    ("longs", "shorts", "text"),
    [
        (1_230_000, 0, "1.23 M USD of longs liquidated"),
        (0, 250_000, "250 k USD of shorts liquidated"),
        (3_000_000, 10, "3.00 M USD of longs and 10.0 USD of shorts liquidated"),
    ],
)
def test_it_says_how_much_was_liquidated_and_whose(longs: int, shorts: int, text: str) -> None:
    """A side that lost nothing is left out."""
    alert = an_alert(
        rule="liquidation",
        liquidation_volume_micro_usd=(longs + shorts) * MICRO,
        liquidation_long_micro_usd=longs * MICRO,
        liquidation_short_micro_usd=shorts * MICRO,
    )
    assert Liquidation.describe(alert).what == text
