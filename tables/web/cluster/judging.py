"""A market's figures held against the rules that judge it, for its row."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streams.model.units import USD
from tables.market.values import COLUMNS
from tables.serving import LatestAlert, ShownRule, main_rule
from tables.web.api.rows import Judgement

_AT: Final = {name: at for at, name in enumerate(COLUMNS)}


class Judged(msgspec.Struct, frozen=True):
    """The part of a market's row that is about rules: ``judgements``, and the main rule's under their old names."""

    rule: str
    threshold_usd: float | None
    amount_usd: float | None
    mark: LatestAlert | None
    judgements: list[Judgement]


def judged(
    rules: Sequence[ShownRule], rule_window: Sequence[float | None] | None, alerts: Mapping[str, LatestAlert]
) -> Judged:
    """Hold a market against its rules. ``rule_window`` are its figures, None without that window; alerts go by rule."""
    judgements: list[Judgement] = []
    told: Judgement | None = None
    main = main_rule(rules)
    for rule in rules:
        figure = rule_window[_AT[rule.figure]] if rule_window is not None else None
        size = abs(figure) if figure is not None else None
        judgements.append(Judgement(rule.name, rule.unit, rule.threshold, size, alerts.get(rule.name)))
        if rule is main:
            told = judgements[-1]
    if told is None:
        return Judged("", None, None, None, judgements)
    if told.unit != USD.name:
        return Judged(told.rule, None, None, told.alert, judgements)
    return Judged(told.rule, told.threshold, told.measured, told.alert, judgements)
