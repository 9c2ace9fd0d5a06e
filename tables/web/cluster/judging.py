"""How far a market has come with the rules that judge it, for its rows."""

from collections.abc import Mapping, Sequence

import msgspec

from streams.model.units import USD
from tables.serving import LatestAlert, ShownRule, main_rule
from tables.web.api.rows import Judgement


class Judged(msgspec.Struct, frozen=True):
    """The part of a market's row that is about rules: ``judgements``, and the main rule's under their old names."""

    rule: str
    threshold_usd: float | None
    amount_usd: float | None
    latest_alert: LatestAlert | None
    judgements: list[Judgement]


def judgements_of(
    rules: Sequence[ShownRule],
    measured: Mapping[str, float | None],
    alerts: Mapping[str, LatestAlert],
    window_seconds: int | None,
) -> list[Judgement]:
    """Return how far a market has come with each of its rules, which judge a window of so many seconds.

    ``measured`` and ``alerts`` go by the rule's name: what each measures of the rule window, and its latest alert.
    A rule that is in neither has no such window, or no alert.
    """
    return [
        Judgement(
            rule.name,
            rule.unit,
            rule.threshold,
            measured.get(rule.name),
            alerts.get(rule.name),
            rule.steps,
            window_seconds,
        )
        for rule in rules
    ]


def judged(
    rules: Sequence[ShownRule],
    measured: Mapping[str, float | None],
    alerts: Mapping[str, LatestAlert],
    window_seconds: int | None,
) -> Judged:
    """Put together what a market's row in the stream says of its rules; of the same as :func:`judgements_of`."""
    judgements = judgements_of(rules, measured, alerts, window_seconds)
    main = main_rule(rules)
    told = next((one for one, rule in zip(judgements, rules, strict=True) if rule is main), None)
    if told is None:
        return Judged("", None, None, None, judgements)
    if told.unit != USD.name:
        return Judged(told.rule, None, None, told.alert, judgements)
    return Judged(told.rule, told.threshold, told.measured, told.alert, judgements)
