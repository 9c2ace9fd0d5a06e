"""A price move: what it measures, where it applies, and its words."""

import pytest

from agents.rules.base import Timing
from agents.rules.price_move import PriceMove
from agents.rules.window import KnownWindow
from streams.settings import load_settings
from tests.agents.factories import a_move
from tests.worker import MemoryWorker


def the_rule(percent: float) -> PriceMove:
    """Return the rule at a threshold."""
    rule = PriceMove.of(load_settings(price_move_pct=percent))
    assert rule is not None
    return rule


@pytest.mark.parametrize(("last", "measured"), [(106.25, 6_250_000_000), (93.75, 6_250_000_000), (100.0, 0)])
def test_it_measures_the_move_up_or_down(last: float, measured: int) -> None:
    """In 1e-9 percent; what came in between does not matter."""
    worker = MemoryWorker()
    for second, price in enumerate((100.0, 50.0, last)):
        market = worker.trade("BTC/USD", second, price)
    assert the_rule(1).measure(KnownWindow(market.figures(market.watermark, 300))) == measured


def test_it_is_off_unless_it_is_set() -> None:
    """Nobody is alerted by surprise."""
    assert PriceMove.of(load_settings()) is None
    assert the_rule(0.4).threshold == 400_000_000


@pytest.mark.parametrize("symbol", ["BTC/USD", "PF_XBTUSD"])
def test_it_applies_to_every_market(symbol: str) -> None:
    """Each has a price."""
    assert the_rule(1).applies_to(MemoryWorker().market(symbol))


def test_it_waits_for_the_end_of_the_pane() -> None:
    """A move can fall back inside it."""
    assert PriceMove.timing is Timing.CLOSED


@pytest.mark.parametrize(("change", "text"), [(0.8, "price moved +0.80 %"), (-12.345, "price moved -12.35 %")])
def test_it_says_how_far_and_which_way(change: float, text: str) -> None:
    """As the row's figure has it."""
    assert PriceMove.describe(a_move(price_change_pct=change)).what == text
