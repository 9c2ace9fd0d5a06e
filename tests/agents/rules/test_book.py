"""Rules: which figure meets which threshold, and how severe that is."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import rules
from agents.alerts.words import sentence
from agents.rules.base import severity_name
from agents.rules.book import TwoRulesOfOneName, by_name, describe, known_rules, measured_of, rule_book, unit_of
from agents.rules.liquidation import Liquidation
from agents.rules.price_move import PriceMove
from agents.rules.volume import Volume
from agents.rules.window import KnownWindow, PastWindow
from streams.errors import BadSetting, Fatal
from streams.model.figures import FIGURES
from streams.settings import load_settings
from tables.market.span import Span
from tables.market.state import Market
from tests.agents.factories import an_alert
from tests.trades import NOON
from tests.worker import MemoryWorker

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


def test_every_rule_of_the_folder_is_known_in_the_order_of_names() -> None:
    """In force or not; what they share is none."""
    assert {Liquidation, PriceMove, Volume} <= {*known_rules().values()}
    assert all(kind.name == name for name, kind in known_rules().items())
    assert [*known_rules()] == sorted(known_rules())


FIGURELESS = """
from agents.rules.volume import Volume

class Buys(Volume):
    name = "buys"
    figure = None
"""


@pytest.fixture
def further_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the name of a rule in USD that measures no figure, from one more file of the folder."""
    (tmp_path / "buys.py").write_text(FIGURELESS)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    known_rules.cache_clear()
    yield "buys"
    known_rules.cache_clear()
    del sys.modules["agents.rules.buys"]


def test_a_file_of_the_folder_is_a_rule(further_rule: str) -> None:
    """Without a line elsewhere. What 0.1 dropped of its alert is not made up from a figure."""
    assert further_rule in known_rules()
    assert unit_of(further_rule) == "usd"
    alert = an_alert(rule=further_rule, measured=None, threshold=None, threshold_micro_usd=7)
    assert measured_of(alert) == (None, 7)
    assert sentence(alert) == "2.02 M USD traded in 5 min"


def test_a_broken_file_of_the_folder_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not start without a rule that somebody relies on."""
    (tmp_path / "torn.py").write_text("def broken(:")
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    known_rules.cache_clear()
    try:
        with pytest.raises(Fatal, match=r"agents/rules/torn\.py cannot be imported: SyntaxError"):
            known_rules()
    finally:
        known_rules.cache_clear()


@pytest.mark.parametrize("threshold", [1e-12, 0, -1])
def test_a_threshold_below_the_smallest_step_is_refused(threshold: float) -> None:
    """Every window would be CRITICAL."""
    with pytest.raises(BadSetting, match=r"threshold of the rule volume is .* at least 0.000001"):
        Volume(threshold, (1, 2, 5, 10))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("price_move_pct", 1e-12),
        ("liquidation_threshold_usd", 1e-9),
        ("liquidation_rule_threshold_usd", 1e300),
        ("severity_multiples", "1,2,5,1e300"),
    ],
)
def test_thresholds_that_cannot_be_kept_are_wrong_settings(name: str, value: object) -> None:
    """They are refused at the start, by the name of the setting."""
    with pytest.raises(BadSetting, match=name.upper()):
        load_settings(**{name: value})


def test_the_unit_of_a_rule_of_another_release_is_unknown() -> None:
    """Where a row does not say it."""
    assert (unit_of("price_move"), unit_of("spread")) == ("percent", "")


class Copied(Volume):
    """A file that was copied, with the name as it was."""


def test_two_rules_of_one_name_are_refused() -> None:
    """Whoever wrote the second is told of both."""
    message = "two rules are named 'volume': agents.rules.volume.Volume and tests.agents.rules.test_book.Copied; give"
    with pytest.raises(TwoRulesOfOneName, match=message):
        by_name([Volume, PriceMove, Copied])


@pytest.mark.parametrize(("rule", "figure"), [("volume", "total_volume"), ("liquidation", "liquidation_volume")])
def test_an_alert_of_an_earlier_release_was_measured_by_its_rules_figure(rule: str, figure: str) -> None:
    """It does not say what was measured; a rule that is gone was in USD, of the volume."""
    told = {"measured": None, "threshold": None, "threshold_micro_usd": 7}
    assert measured_of(an_alert(rule=rule, **{f"{figure}_micro_usd": 9}, **told)) == (9, 7)
    assert measured_of(an_alert(rule="gone", total_volume_micro_usd=8, **told)) == (8, 7)


def test_an_alert_of_a_rule_of_another_release_is_told_in_its_unit() -> None:
    """Nobody here has words for it."""
    told = {"rule": "spread", "threshold": 1}
    assert describe(an_alert(**told, unit="count", measured=1234)).what == "spread: 1,234"
    assert describe(an_alert(**told, unit="percent", measured=2_500_000_000)).what == "spread: 2.5 %"
    assert describe(an_alert(**told, unit="usd", measured=2_500_000_000)).what == "spread: 2,500 USD"
    assert describe(an_alert(**told, unit="count", measured=None)).what == "spread: a crossing"


def test_a_rule_with_a_figure_measures_its_size() -> None:
    """Pages draw it so; on windows of now and of panes that are over."""
    worker = MemoryWorker(price_move_pct=1)
    for second, price in enumerate((100.0, 93.3, 97.1)):
        market = worker.trade("BTC/USD", second, price)
    fields = {figure.name: figure for figure in FIGURES}
    for pane in (NOON + 1, NOON + 2):
        figures = market.figures(pane, 300)
        for rule in rule_book(worker.settings).rules:
            figure = fields[rule.figure or ""]
            wanted = abs(getattr(figures, figure.field))
            if not figure.type.is_amount:
                wanted = int(wanted * 10**rule.unit.decimals)
            assert rule.measure(KnownWindow(figures)) == wanted
            assert rule.measure(PastWindow(market, pane, 300)) == wanted
