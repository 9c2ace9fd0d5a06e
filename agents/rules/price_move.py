"""How far the price moved in the window, up or down, on any market. Off unless PRICE_MOVE_PCT is set."""

from typing import Final, Self

from agents.rules.base import Description, Rule, RuleWindow, Timing
from streams.model.alert import Alert
from streams.model.kinds import AnyMarket
from streams.model.units import PERCENT
from streams.settings import Settings

_NANO_PER_ONE: Final[int] = 10**PERCENT.decimals


class PriceMove(Rule):
    """``price_change_pct``, up or down, reaches PRICE_MOVE_PCT. It can fall inside a pane: the pane's end decides."""

    name = "price_move"
    label = "price move"
    unit = PERCENT
    figure = "price_change_pct"
    timing = Timing.CLOSED

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the rule where PRICE_MOVE_PCT is set."""
        return None if settings.price_move_pct is None else cls(settings.price_move_pct, settings.severity_multiples)

    def applies_to(self, market: AnyMarket) -> bool:  # noqa: ARG002 - every market has a price
        """Return true: every market has a price."""
        return True

    def measure(self, window: RuleWindow) -> int:
        """Return the move in 1e-9 percent, cut off: it never claims more than the row's figure shows."""
        numerator, denominator = window.price_change_pct.as_integer_ratio()
        return abs(numerator) * _NANO_PER_ONE // denominator

    @staticmethod
    def describe(alert: Alert) -> Description:
        """Say how far the price moved, and which way."""
        return Description(f"price moved {alert.price_change_pct:+.2f} %")
