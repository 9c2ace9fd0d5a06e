"""The rules: which figure of a window is compared with which threshold, and how severe a crossing is. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from streams.model.amounts import MICRO_PER_USD, is_futures
from streams.settings import SEVERITIES, Settings

VOLUME: Final = "volume"
"""Window volume on spot, where no liquidation label exists: a proxy, and said to be one."""

LIQUIDATION: Final = "liquidation"
"""Liquidated notional in the window, on futures, whose trades are labelled."""


class Rule(msgspec.Struct, frozen=True):
    """A threshold on a window: ``steps_micro_usd`` are what LOW, MEDIUM, HIGH and CRITICAL begin with."""

    name: str
    threshold_micro_usd: int
    steps_micro_usd: tuple[int, ...]

    def severity(self, amount_micro_usd: int) -> int:
        """Return 0 below the threshold, else 1 (LOW) to 4 (CRITICAL)."""
        return sum(amount_micro_usd >= step for step in self.steps_micro_usd)


def severity_name(severity: int) -> str:
    """Return the word for a severity of 1 to 4."""
    return SEVERITIES[severity - 1]


def make_rule(name: str, threshold_usd: float, multiples: Sequence[float]) -> Rule:
    """Return a rule with a threshold in USD and the multiples of it that each severity begins with."""
    threshold = round(threshold_usd * MICRO_PER_USD)
    return Rule(name, threshold, tuple(round(threshold * multiple) for multiple in multiples))


class RuleBook(msgspec.Struct, frozen=True):
    """The rule of each kind of market: volume for spot, liquidations for futures."""

    spot: Rule
    futures: Rule

    def rule_for(self, symbol: str) -> Rule:
        """Return the rule that applies to a symbol."""
        return self.futures if is_futures(symbol) else self.spot


def rule_book(settings: Settings) -> RuleBook:
    """Return the rules the settings ask for."""
    return RuleBook(
        spot=make_rule(VOLUME, settings.liquidation_threshold_usd, settings.severity_multiples),
        futures=make_rule(LIQUIDATION, settings.liquidation_rule_threshold_usd, settings.severity_multiples),
    )
