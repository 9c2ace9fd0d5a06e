"""What the view is told of the rules."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.rules.book import rule_book
from streams.settings import load_settings
from streams.view import WorkerView, shown
from tables.market.values import FIGURE_NAMES
from tables.serving import ShownRule


def test_rules_are_shown_in_whole_units() -> None:
    """A threshold of the settings is the threshold of the page, in its unit."""
    settings = load_settings(liquidation_threshold_usd=1234.5, price_move_pct=0.1, severity_multiples=(1, 3, 5, 10))
    rules = {rule.name: shown(rule) for rule in rule_book(settings).rules}
    assert rules.keys() == {"liquidation", "price_move", "volume"}
    assert rules["volume"] == ShownRule(
        "volume", "usd", "total_volume_usd", "traded volume", 1234.5, (1234.5, 3703.5, 6172.5, 12345.0)
    )
    assert rules["price_move"] == ShownRule(
        "price_move", "percent", "price_change_pct", "price move", 0.1, (0.1, 0.3, 0.5, 1.0)
    )


def test_every_rule_compares_a_figure_that_is_shown() -> None:
    """By its name: the view finds what the rule measured in the figures of a market's row."""
    rules = rule_book(load_settings(price_move_pct=1)).rules
    assert {shown(rule).figure for rule in rules} <= {*FIGURE_NAMES}
    assert all(rule.label for rule in rules)


@pytest.mark.parametrize("held_up_by", ["nothing", "the table store", "a wrong clock", "Postgres"])
async def test_what_would_hold_up_the_next_worker_too(held_up_by: str) -> None:
    """Nobody is ended for a table store or a Postgres that does not answer, or trades that wait for a right clock."""

    async def reachable() -> bool:
        return held_up_by != "Postgres"

    settings = load_settings()
    keeper = SimpleNamespace(store_answers=held_up_by != "the table store", was_restored=None)
    view = WorkerView(
        cast("Any", None), settings, keeper=cast("Any", keeper), rules=rule_book(settings),
        sinks=cast("Any", SimpleNamespace(reachable=reachable)), ending=cast("Any", None),
        record_clock=cast("Any", SimpleNamespace(is_waiting=held_up_by == "a wrong clock")), home=hash, venue_names={},
        numbered_venues=(),
    )  # fmt: skip
    assert await view.is_held_up() == (held_up_by != "nothing")
