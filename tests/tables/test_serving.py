"""What is known of the markets that a worker serves."""

from tables.market.episodes import Mark
from tables.market.state import Market, Span
from tables.serving import latest_alert


def market_at(watermark: int, marks: list[Mark]) -> Market:
    """Return a market with these alerts."""
    market = Market("venue", "BTC/USD", Span(window=300, retention=4200))
    market.open_pane(watermark)
    market.marks["volume"] = marks
    return market


def test_the_latest_episode_is_open_until_its_cooldown_ends() -> None:
    """It is the last alert, with the highest severity of its episode."""
    marks = [Mark(100, 4, 100), Mark(900, 1, 900), Mark(950, 3, 900)]
    during = latest_alert(market_at(1249, marks), "volume", 300)
    after = latest_alert(market_at(1250, marks), "volume", 300)
    assert during is not None
    assert after is not None
    assert (during.pane, during.severity, during.episode, during.open) == (950, "HIGH", 900, True)
    assert not after.open


def test_a_market_that_never_alerted_has_no_latest_alert() -> None:
    """Nothing is made up."""
    assert latest_alert(market_at(10, []), "volume", 300) is None
