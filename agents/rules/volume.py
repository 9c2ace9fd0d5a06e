"""Notional traded in the window, on markets whose trades carry no liquidation labels: a proxy, and said to be one."""

from typing import Self

from agents.rules.base import Description, Rule, RuleWindow
from streams.model.alert import Alert
from streams.model.kinds import AnyMarket
from streams.model.money import short_usd
from streams.model.units import USD
from streams.settings import Settings


class Volume(Rule):
    """``total_volume_usd`` reaches LIQUIDATION_THRESHOLD_USD."""

    name = "volume"
    label = "traded volume"
    unit = USD
    figure = "total_volume_usd"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rule with the settings' threshold."""
        return cls(settings.liquidation_threshold_usd, settings.severity_multiples)

    def applies_to(self, market: AnyMarket) -> bool:
        """Whether no liquidation label exists there."""
        return not market.kind.has_liquidations

    def measure(self, window: RuleWindow) -> int:
        """Return the notional traded, micro-USD."""
        return window.volume

    @staticmethod
    def describe(alert: Alert) -> Description:
        """Say how much was traded."""
        return Description(
            f"{short_usd(alert.total_volume_micro_usd)} traded",
            "Traded volume, a proxy: spot trades carry no liquidation label.",
        )
