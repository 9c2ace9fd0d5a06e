"""Liquidated notional in the window, on markets whose trades are labelled."""

from typing import Self

from agents.rules.base import Description, Rule, RuleWindow
from streams.model.alert import Alert
from streams.model.kinds import AnyMarket
from streams.model.money import short_usd
from streams.model.units import USD
from streams.settings import Settings


class Liquidation(Rule):
    """``liquidation_volume_usd`` reaches LIQUIDATION_RULE_THRESHOLD_USD."""

    name = "liquidation"
    label = "liquidations"
    unit = USD
    figure = "liquidation_volume_usd"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rule with the settings' threshold."""
        return cls(settings.liquidation_rule_threshold_usd, settings.severity_multiples)

    def applies_to(self, market: AnyMarket) -> bool:
        """Whether trades there are labelled."""
        return market.kind.has_liquidations

    def measure(self, window: RuleWindow) -> int:
        """Return the notional liquidated, micro-USD."""
        return window.liquidated

    @staticmethod
    def describe(alert: Alert) -> Description:
        """Say how much was liquidated, and whose."""
        sides = [
            f"{short_usd(amount)} of {side}"
            for side, amount in (
                ("longs", alert.liquidation_long_micro_usd),
                ("shorts", alert.liquidation_short_micro_usd),
            )
            if amount
        ]
        return Description(f"{' and '.join(sides) or short_usd(alert.liquidation_volume_micro_usd)} liquidated")
