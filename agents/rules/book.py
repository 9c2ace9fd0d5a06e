"""The rules in force: found in this package, made from the settings, and named to whoever shows alerts."""

import pkgutil
from importlib import import_module
from typing import Final

import msgspec

from agents import rules
from agents.rules.base import Description, Rule, Timing
from streams.model.alert import Alert
from streams.model.figures import FIGURES
from streams.model.kinds import AnyMarket
from streams.model.units import UNITS, USD
from streams.settings import Settings


def _found() -> dict[str, type[Rule]]:
    for module in sorted(pkgutil.iter_modules(rules.__path__)):
        import_module(f"{rules.__name__}.{module.name}")
    return {kind.name: kind for kind in sorted(Rule.__subclasses__(), key=lambda kind: kind.name)}


_FIELDS: Final = {figure.name: figure.field for figure in FIGURES}

RULES: Final = _found()
"""Every rule of the program by name."""


class RuleBook(msgspec.Struct, frozen=True):
    """The rules in force, in the order of their names."""

    rules: tuple[Rule, ...]

    @property
    def waits_for_panes(self) -> bool:
        """Whether any rule is judged when a pane is over."""
        return any(rule.timing is Timing.CLOSED for rule in self.rules)

    def of(self, market: AnyMarket) -> tuple[Rule, ...]:
        """Return the rules that judge a market."""
        return tuple(rule for rule in self.rules if rule.applies_to(market))


def rule_book(settings: Settings) -> RuleBook:
    """Return the rules the settings ask for."""
    made = (kind.of(settings) for kind in RULES.values())
    return RuleBook(tuple(rule for rule in made if rule is not None))


def describe(alert: Alert) -> Description:
    """Say what an alert is about; of a rule that this release does not have, what it measured."""
    rule = RULES.get(alert.rule)
    if rule is not None:
        return rule.describe(alert)
    unit = UNITS.get(alert.unit)
    measured = f"{unit.decimal(alert.measured):,f} {unit.name}" if unit and alert.measured is not None else "a crossing"
    return Description(f"{alert.rule}: {measured}")


def completed(alert: Alert) -> Alert:
    """Return an alert with what its rule measured and its threshold; a message of an earlier release says neither."""
    if alert.measured is not None or alert.unit != USD.name:
        return alert
    measured, threshold = measured_of(alert)
    return msgspec.structs.replace(alert, measured=measured, threshold=threshold)


def measured_of(alert: Alert) -> tuple[int, int]:
    """Return what an alert's rule measured and its threshold, integers of the alert's unit.

    A message of an earlier release says neither: its rules were in USD.
    """
    if alert.measured is not None and alert.threshold is not None:
        return alert.measured, alert.threshold
    kind = RULES.get(alert.rule)
    field = _FIELDS.get(kind.figure or "") if kind is not None else None
    measured = alert.total_volume_micro_usd if field is None else int(getattr(alert, field))
    return measured, alert.threshold_micro_usd
