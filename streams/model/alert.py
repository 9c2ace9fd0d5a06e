"""An alert's row as the monitor emits it: its identity, its figures, and which of two rows of one alert stays."""

from typing import NamedTuple, Protocol

import msgspec

from streams.errors import UNREADABLE, BadRecord
from streams.model.figures import Figures, with_figures
from streams.model.kinds import MAX_NAME
from streams.model.trade import is_market_name


class AlertId(NamedTuple):
    """What makes two messages the same alert. ``pane`` is the start of the crossing pane, unix seconds."""

    rule: str
    venue: str
    symbol: str
    pane: int


@with_figures(after="window_end")
class Alert(Figures, msgspec.Struct, frozen=True, omit_defaults=False):
    """An alert's row at its present state: one message on the topic ``alerts``, one row in ``liquidation_alerts``.

    Everything but its identity is a column that may be brought up to date. Amounts ending in ``_micro_usd`` are
    integers in micro-USD. The window covers ``window_start`` (inclusive) to ``window_end`` (exclusive), unix seconds.

    Three fields are integers of ``unit`` (:mod:`streams.model.units`). ``threshold`` is what the rule compares with,
    ``measured`` is what it measured of this row's window, and the severity begins with ``severity_step``.

    ``offset`` is the source offset that the figures contain. ``raised_offset`` is that of the message that raised the
    alert, in the row that raised it. ``retracted``: later trades took the measured value back below the first step.
    ``covered_since`` is the first pane that was counted of the market, None where nobody knows.

    Fields from ``unit`` on have defaults: a message of 0.1 (commit 1a202df) has none of them, and its
    ``threshold_micro_usd`` is the threshold. That one is 0 where the unit is not USD.
    """

    rule: str
    venue: str
    symbol: str
    pane: int
    severity: str
    threshold_micro_usd: int
    episode: int
    window_seconds: int
    window_start: int
    window_end: int
    received_us: int
    partition: int
    offset: int
    unit: str = "usd"
    threshold: int | None = None
    measured: int | None = None
    severity_step: int | None = None
    cooldown_seconds: int | None = None
    raised_offset: int | None = None
    retracted: bool = False
    covered_since: int | None = None

    @property
    def counted_from(self) -> int | None:
        """The moment from which on the window holds data, where that is later than its start; else None."""
        since = self.covered_since
        return since if since is not None and self.window_start < since <= self.pane else None

    @property
    def id(self) -> AlertId:
        """What tells this alert from any other."""
        return AlertId(self.rule, self.venue, self.symbol, self.pane)


class Judged(Protocol):
    """What is compared of two rows of one alert."""

    @property
    def count(self) -> int: ...

    @property
    def measured(self) -> int | None: ...

    @property
    def offset(self) -> int: ...

    @property
    def severity(self) -> str: ...

    @property
    def retracted(self) -> bool: ...


def supersedes(new: Judged, old: Judged) -> bool:
    """Whether of two rows of one alert ``new`` is the later state. One that says nothing new replaces nothing.

    A window gains trades only, so the higher count is later, also after the broker was replaced and offsets began
    anew. Where counts are equal the higher source offset is later. A row without its measured value was written by the
    0.1, and one of equal count that has it completes it. ``agents.alerts.recorder`` says the same in SQL.
    """
    if new.count != old.count:
        return new.count > old.count
    if old.measured is None and new.measured is not None:
        return True
    return new.offset > old.offset and _judgement(new) != _judgement(old)


def _judgement(alert: Judged) -> tuple[str, int | None, bool]:
    return alert.severity, alert.measured, alert.retracted


def decode_alert(data: bytes) -> Alert:
    """Read a message of the topic ``alerts``. Raises :class:`BadRecord` for bytes that are no alert."""
    try:
        alert = msgspec.json.decode(data, type=Alert)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_type", f"not an alert: {error}") from None
    except UNREADABLE as error:
        raise BadRecord("not_json", f"not an alert: {error}") from None
    if not all(map(is_market_name, (alert.rule, alert.venue, alert.symbol, alert.severity, alert.unit))):
        text = f"rule, venue, symbol, severity and unit must be 1 to {MAX_NAME} printable characters other than '|'"
        raise BadRecord("wrong_type", f"not an alert: {text}")
    return alert
