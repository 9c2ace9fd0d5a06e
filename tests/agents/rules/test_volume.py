"""Traded volume: what it measures, where it applies, and its words."""

from agents.rules.volume import Volume
from agents.rules.window import KnownWindow
from streams.settings import load_settings
from tests.agents.factories import an_alert
from tests.worker import MemoryWorker

MICRO = 10**6


def test_it_measures_the_notional_of_the_window() -> None:
    """In micro-USD, of both sides."""
    worker = MemoryWorker()
    for second, price in enumerate((100.0, 93.25)):
        market = worker.trade("BTC/USD", second, price)
    rule = Volume.of(load_settings())
    assert rule.measure(KnownWindow(market.figures(market.watermark, 300))) == 193_250_000


def test_it_applies_where_no_trade_carries_a_label() -> None:
    """Spot, with the threshold of its own setting."""
    worker = MemoryWorker()
    rule = Volume.of(load_settings(liquidation_threshold_usd=7.5))
    assert rule.threshold == 7_500_000
    assert rule.applies_to(worker.market("BTC/USD"))
    assert not rule.applies_to(worker.market("PF_XBTUSD"))


def test_it_says_how_much_was_traded_and_that_it_is_a_proxy() -> None:
    """Every message has the note."""
    said = Volume.describe(an_alert(total_volume_micro_usd=1_230_000 * MICRO))
    assert said.what == "1.23 M USD traded"
    assert said.note == "Traded volume, a proxy: spot trades carry no liquidation label."
