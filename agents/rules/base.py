"""What a rule is: what it measures of a market's window, with which steps it compares that, and how it says so. Pure.

Every module beside this one that defines a :class:`Rule` is a rule of the program (:mod:`agents.rules.book` finds it).
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, Protocol, Self

import msgspec

from streams.errors import BadSetting
from streams.model.alert import Alert
from streams.model.kinds import AnyMarket
from streams.model.units import Unit
from streams.settings import Settings
from streams.severities import SEVERITIES
from tables.market.windows import WindowFigures


class Timing(Enum):
    """When a rule may be judged.

    A figure that only grows inside a pane is judged at every trade (``GROWING``): the alert is early, and the pane's
    end decides the same. One that can fall is judged when the pane is over (``CLOSED``), or the alert would depend on
    how trades were grouped into frames.
    """

    GROWING = "growing"
    CLOSED = "closed"


class RuleWindow(Protocol):
    """The rule window that ends with the judged pane."""

    @property
    def volume(self) -> int:
        """Notional traded, micro-USD; kept as a running sum."""
        ...

    @property
    def liquidated(self) -> int:
        """Notional of liquidations, micro-USD; kept as a running sum."""
        ...

    @property
    def price_change_pct(self) -> float:
        """Last price against first, per cent; read off the window's two ends."""
        ...

    @property
    def figures(self) -> WindowFigures:
        """Every figure, computed from all panes when first asked for."""
        ...


class Description(msgspec.Struct, frozen=True):
    """An alert in words: ``what`` happened in the window, and a ``note`` where readers need one."""

    what: str
    note: str = ""


class Rule(ABC):
    """A threshold on what it measures of the rule window.

    ``name`` is part of every alert's identity and never changes; ``label`` says what is measured, for people.
    ``threshold`` is the operator's; ``steps`` are what LOW, MEDIUM, HIGH and CRITICAL begin with. Both are integers of
    ``unit``. ``figure`` names the figure of the table (:mod:`streams.model.figures`) whose size :meth:`measure`
    returns, so that pages can draw its past. It stays None where the rule measures something else.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[Unit]
    figure: ClassVar[str | None] = None
    timing: ClassVar[Timing] = Timing.GROWING

    def __init__(self, threshold: float, multiples: Sequence[float]) -> None:
        """Take the threshold in whole units, and the multiples of it that each severity begins with.

        Raises :class:`BadSetting` where the threshold is less than the unit's smallest step.
        """
        self.threshold = self.unit.integer(threshold)
        if self.threshold < 1:
            least = self.unit.decimal(1)
            raise BadSetting(f"the threshold of the rule {self.name} is {threshold}: it must be at least {least:f}")
        self.steps = tuple(round(self.threshold * multiple) for multiple in multiples)

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the rule that the settings ask for; None where they switch it off."""

    @abstractmethod
    def applies_to(self, market: AnyMarket) -> bool:
        """Whether this market is judged by the rule."""

    @abstractmethod
    def measure(self, window: RuleWindow) -> int | None:
        """Return what is compared with the steps; None where the window does not say.

        Raising ends the worker before it acknowledges the message, and the next start meets that again.
        """

    @staticmethod
    @abstractmethod
    def describe(alert: Alert) -> Description:
        """Say what an alert of this rule is about. It may be of another process, with other settings."""

    def severity(self, measured: int | None) -> int:
        """Return 0 below the first step, else 1 (LOW) to 4 (CRITICAL)."""
        if measured is None or measured < self.steps[0]:
            return 0
        return bisect_right(self.steps, measured)

    def takes_back(self, window: RuleWindow) -> bool:
        """Whether this window takes back an alert that this rule raised with the same threshold.

        Only a figure that can fall takes an alert back: one that grows is below the first step only where the threshold
        was lower before.
        """
        return self.timing is Timing.CLOSED and self.severity(self.measure(window)) == 0


def severity_name(severity: int) -> str:
    """Return the word for a severity of 1 to 4."""
    return SEVERITIES[severity - 1]
