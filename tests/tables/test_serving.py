"""What is known of the markets that a worker serves."""

from tables.market.episodes import Mark
from tables.market.span import Span
from tables.market.state import Market
from tables.serving import latest_alert


def market_at(watermark: int, marks: list[Mark]) -> Market:
    """Return a market with these alerts."""
    market = Market("venue", "BTC/USD", Span(window=300, retention=4200))
    market.open_pane(watermark)
    market.marks["volume"] = marks
    return market


def none_retracted(market: Market, rule: str, pane: int) -> bool:
    """Say that every alert stands."""
    return False


def test_the_latest_episode_is_open_until_its_cooldown_ends() -> None:
    """It is the last alert, with the highest severity of its episode."""
    marks = [Mark(100, 4, 100), Mark(900, 1, 900), Mark(950, 3, 900)]
    during = latest_alert(market_at(1249, marks), "volume", 300, none_retracted)
    after = latest_alert(market_at(1250, marks), "volume", 300, none_retracted)
    assert during is not None
    assert after is not None
    assert (during.pane, during.severity, during.episode, during.open) == (950, "HIGH", 900, True)
    assert not after.open


def test_a_market_that_never_alerted_has_no_latest_alert() -> None:
    """Nothing is made up."""
    assert latest_alert(market_at(10, []), "volume", 300, none_retracted) is None


def test_an_escalation_that_was_taken_back_leaves_its_episode_as_it_was_before() -> None:
    """At the severity of the alerts that stand; the cooldown of the one taken back holds all the same."""
    marks = [Mark(900, 1, 900), Mark(950, 3, 900)]
    told = latest_alert(market_at(1249, marks), "volume", 300, lambda _, __, pane: pane == 950)
    assert told is not None
    assert (told.pane, told.severity, told.open, told.retracted) == (900, "LOW", True, False)


def test_an_episode_whose_alerts_were_all_taken_back_is_not_open() -> None:
    """The latest of them is told of, as taken back."""
    marks = [Mark(100, 4, 100), Mark(900, 1, 900), Mark(950, 3, 900)]
    told = latest_alert(market_at(951, marks), "volume", 300, lambda _, __, pane: pane >= 900)
    assert told is not None
    assert (told.pane, told.severity, told.open, told.retracted) == (950, "HIGH", False, True)
