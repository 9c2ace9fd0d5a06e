"""A rule that the program does not have: it measures what no figure of the table is."""

from typing import Self

from agents.rules.base import Description, Rule, RuleWindow, Timing
from streams.model.alert import Alert
from streams.model.kinds import AnyMarket
from streams.model.units import PERCENT
from streams.settings import Settings


class SellShare(Rule):
    """The share of sales in the volume reaches a threshold."""

    name = "sell_share"
    label = "share of sales"
    unit = PERCENT
    timing = Timing.CLOSED

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rule at a half."""
        return cls(50, settings.severity_multiples)

    def applies_to(self, market: AnyMarket) -> bool:  # noqa: ARG002 - the interface
        """Return true."""
        return True

    def measure(self, window: RuleWindow) -> int | None:
        """Return the share in 1e-9 per cent, rounded down; None where nothing traded."""
        figures = window.figures
        if not figures.total_volume_micro_usd:
            return None
        return 100 * 10**9 * figures.sell_volume_micro_usd // figures.total_volume_micro_usd

    @staticmethod
    def describe(alert: Alert) -> Description:
        """Say how much was sold."""
        return Description(f"{alert.sell_volume_micro_usd} of {alert.total_volume_micro_usd} sold")
