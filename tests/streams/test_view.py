"""What the view is told of the rules."""

from agents.rules.book import rule_book
from streams.settings import load_settings
from streams.view import shown
from tables.market.values import COLUMNS


def test_rules_are_shown_in_whole_units() -> None:
    """A threshold of the settings is the threshold of the page, and every rule compares a figure that is shown."""
    settings = load_settings(liquidation_threshold_usd=1234.5, severity_multiples=(1, 3, 5, 10))
    book = rule_book(settings)
    volume, liquidation = shown(book.spot), shown(book.futures)
    assert (volume.name, volume.unit, volume.threshold) == ("volume", "usd", 1234.5)
    assert volume.steps == (1234.5, 3703.5, 6172.5, 12345.0)
    assert {rule.figure for rule in (volume, liquidation)} <= {*COLUMNS}
    assert all(rule.label for rule in (volume, liquidation))
