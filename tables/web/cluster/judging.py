"""A market's figures held against the rules that judge it, for its row."""

from collections.abc import Mapping, Sequence

import msgspec

from streams.model.units import USD
from tables.market.values import COLUMNS
from tables.serving import LatestAlert, ShownRule, main_rule
from tables.web.api.rows import Judgement


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
    figures = dict(zip(COLUMNS, rule_window, strict=True)) if rule_window is not None else {}
    judgements = [
        Judgement(rule.name, rule.unit, rule.threshold, _size(figures.get(rule.figure)), alerts.get(rule.name))
        for rule in rules
    ]
    main = main_rule(rules)
    shown = next((one for one in judgements if main is not None and one.rule == main.name), None)
    in_usd = shown if shown is not None and shown.unit == USD.name else None
    return Judged(
        rule=shown.rule if shown is not None else "",
        threshold_usd=in_usd.threshold if in_usd is not None else None,
        amount_usd=in_usd.measured if in_usd is not None else None,
        mark=shown.alert if shown is not None else None,
        judgements=judgements,
    )


def _size(figure: float | None) -> float | None:
    return abs(figure) if figure is not None else None
