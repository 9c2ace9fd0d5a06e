"""Rules: which figure meets which threshold, and how severe that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.rules.base import severity_name
from agents.rules.book import rule_book
from agents.rules.volume import Volume
from streams.settings import load_settings
from tables.market.state import Market, Span

MICRO = 10**6


def a_market(symbol: str) -> Market:
    return Market("a venue", symbol, Span(300, 4200))


@pytest.mark.parametrize(
    ("usd", "severity"),
    [
        (0, 0),
        (999_999.999999, 0),
        (1_000_000, 1),
        (1_999_999.999999, 1),
        (2_000_000, 2),
        (4_999_999.999999, 2),
        (5_000_000, 3),
        (9_999_999.999999, 3),
        (10_000_000, 4),
        (10**9, 4),
    ],
)
def test_a_threshold_belongs_to_the_severity_it_begins(usd: float, severity: int) -> None:
    """Multiples 1, 2, 5 and 10 of a million, to the micro-USD."""
    assert Volume(1_000_000, (1, 2, 5, 10)).severity(round(usd * MICRO)) == severity


def test_severities_have_names() -> None:
    """From 1 to 4."""
    assert [severity_name(severity) for severity in (1, 2, 3, 4)] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]


@given(
    threshold=st.floats(0.01, 1e9),
    multiples=st.lists(st.floats(1, 1000), min_size=4, max_size=4, unique=True).map(sorted),
    amounts=st.lists(st.integers(0, 10**18), min_size=2, max_size=2).map(sorted),
)
def test_more_is_never_less_severe(threshold: float, multiples: list[float], amounts: list[int]) -> None:
    """And what is below the threshold is nothing."""
    rule = Volume(threshold, multiples)
    low, high = (rule.severity(amount) for amount in amounts)
    assert low <= high
    assert rule.severity(rule.steps[0] - 1) == 0
    assert [rule.severity(step) for step in rule.steps[-1:]] == [4]


@pytest.mark.parametrize(
    ("symbol", "name", "threshold_usd"),
    [
        ("BTC/USD", "volume", 1_000_000),
        ("PF_XBTUSD", "liquidation", 250_000),
        ("PI_XBTUSD", "liquidation", 250_000),
        ("FF_ETHUSD_250328", "liquidation", 250_000),
        ("PFIZER/USD", "volume", 1_000_000),
    ],
)
def test_spot_is_judged_by_volume_and_futures_by_what_is_labelled(symbol: str, name: str, threshold_usd: int) -> None:
    """Only futures trades carry the label."""
    (rule,) = rule_book(load_settings()).of(a_market(symbol))
    assert (rule.name, rule.threshold) == (name, threshold_usd * MICRO)


def test_thresholds_and_multiples_are_settings() -> None:
    """Each rule has its own threshold; severities are shared."""
    settings = load_settings(
        liquidation_threshold_usd=10, liquidation_rule_threshold_usd=0.5, severity_multiples=(1, 1.5, 3, 4)
    )
    steps = {rule.name: rule.steps for rule in rule_book(settings).rules}
    assert steps == {
        "liquidation": (500_000, 750_000, 1_500_000, 2_000_000),
        "volume": (10_000_000, 15_000_000, 30_000_000, 40_000_000),
    }
