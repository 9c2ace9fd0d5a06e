"""The rules in force: found in this package, made from the settings, and named to whoever shows alerts."""

import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Final

import msgspec

from agents import rules
from agents.rules.base import Description, Rule, Timing
from streams.errors import Fatal
from streams.model.alert import Alert
from streams.model.figures import FIGURES
from streams.model.kinds import AnyMarket
from streams.model.money import in_unit
from streams.model.units import USD
from streams.settings import Settings

_FIELDS: Final = {figure.name: figure.field for figure in FIGURES}


class TwoRulesOfOneName(Fatal):
    """Alerts of two rules could not be told apart. The text names both."""


@cache
def known_rules() -> Mapping[str, type[Rule]]:
    """Return every rule of the program by name, in force or not.

    Raises :class:`TwoRulesOfOneName`, and :class:`Fatal` for a file that cannot be imported.
    """
    found: list[type[Rule]] = []
    for entry in pkgutil.iter_modules(rules.__path__):
        try:
            module = import_module(f"{rules.__name__}.{entry.name}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the rule would be missing
            text = f"agents/rules/{entry.name}.py cannot be imported: {error!r}; mend it, or take it away"
            raise Fatal(text) from None
        found += [value for value in vars(module).values() if _is_rule(value) and value.__module__ == module.__name__]
    return by_name(found)


def _is_rule(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Rule) and not inspect.isabstract(value)


def by_name(rule_types: Iterable[type[Rule]]) -> dict[str, type[Rule]]:
    """Return rules by name, in the order of their names. Raises :class:`TwoRulesOfOneName`."""
    named: dict[str, type[Rule]] = {}
    for rule_type in sorted(rule_types, key=lambda one: one.name):
        other = named.setdefault(rule_type.name, rule_type)
        if other is not rule_type:
            both = " and ".join(f"{one.__module__}.{one.__qualname__}" for one in (other, rule_type))
            raise TwoRulesOfOneName(f"two rules are named {rule_type.name!r}: {both}; give one of them another name")
    return named


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
    """Return the rules the settings ask for. Raises :class:`TwoRulesOfOneName`."""
    made = (rule_type.of(settings) for rule_type in known_rules().values())
    return RuleBook(tuple(rule for rule in made if rule is not None))


def describe(alert: Alert) -> Description:
    """Say what an alert is about; of a rule that this release does not have, what it measured."""
    rule = known_rules().get(alert.rule)
    if rule is not None:
        return rule.describe(alert)
    measured = "a crossing" if alert.measured is None else in_unit(alert.measured, alert.unit)
    return Description(f"{alert.rule}: {measured}")


def unit_of(rule: str) -> str:
    """Return the name of a rule's unit; empty for a rule that this release does not have."""
    rule_type = known_rules().get(rule)
    return "" if rule_type is None else rule_type.unit.name


def completed(alert: Alert) -> Alert:
    """Return an alert with what its rule measured and its threshold; a message of 0.1 says neither."""
    if alert.measured is not None or alert.unit != USD.name:
        return alert
    measured, threshold = measured_of(alert)
    return msgspec.structs.replace(alert, measured=measured, threshold=threshold)


def measured_of(alert: Alert) -> tuple[int | None, int]:
    """Return what an alert's rule measured and its threshold, integers of the alert's unit.

    A message of 0.1 says neither: its rules were in USD, each of a figure. So is what 0.1 made of a later rule's alert,
    and the measured value is None if that rule measures no figure.
    """
    if alert.measured is not None and alert.threshold is not None:
        return alert.measured, alert.threshold
    rule_type = known_rules().get(alert.rule)
    if rule_type is None:
        return alert.total_volume_micro_usd, alert.threshold_micro_usd
    measured = None if rule_type.figure is None else int(getattr(alert, _FIELDS[rule_type.figure]))
    return measured, alert.threshold_micro_usd
