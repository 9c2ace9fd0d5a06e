"""An alert and its row in ``liquidation_alerts``: the same figures in the units of each.

An alert counts money in integer micro-USD and time in unix seconds; the row holds exact decimals in USD and timestamps.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from agents.rules.book import unit_of
from streams.model.alert import Alert
from streams.model.figures import FIGURES
from streams.model.units import UNITS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

TIMES: Final = {
    "timestamp": "pane",
    "window_start": "window_start",
    "window_end": "window_end",
    "episode": "episode",
}
AMOUNTS: Final = {figure.name: figure.field for figure in FIGURES if figure.type.is_amount}
PLAIN: Final = {
    "alert_severity": "severity",
    "rule": "rule",
    "venue": "venue",
    "symbol": "symbol",
    "window_seconds": "window_seconds",
    "source_partition": "partition",
    "source_offset": "offset",
    **{figure.name: figure.field for figure in FIGURES if not figure.type.is_amount},
    "unit": "unit",
    "cooldown_seconds": "cooldown_seconds",
    "raised_offset": "raised_offset",
    "retracted": "retracted",
}
COVERED_SINCE: Final = "covered_since"
"""The one time that may be missing: a row of an earlier release, or of a market of which nobody knows it."""

IN_UNIT: Final = ("threshold", "measured", "severity_step")
"""Columns that hold integers of the alert's unit, as exact decimals of it."""

THRESHOLD_USD: Final = "threshold_usd"
"""The threshold of a rule in USD; 0 for any other, whose threshold is in ``threshold``. 0.1 reads no null here."""

IDENTITY: Final = ("rule", "venue", "symbol", "timestamp")
COLUMNS: Final = (*TIMES, *AMOUNTS, *PLAIN, *IN_UNIT, THRESHOLD_USD, COVERED_SINCE)


def usd(micro_usd: int) -> Decimal:
    """Return an amount in USD, exactly."""
    return Decimal(micro_usd).scaleb(-6)


def instant(unix_seconds: int) -> datetime:
    """Return a moment as a timestamp. Raises :class:`OverflowError` outside the years 1 to 9999."""
    return EPOCH + timedelta(seconds=unix_seconds)


def unix_seconds(moment: datetime) -> int:
    """Return the whole unix seconds of a timestamp."""
    return (moment - EPOCH) // timedelta(seconds=1)


def to_row(alert: Alert) -> list[Any]:
    """Return the values of :data:`COLUMNS`. Raises :class:`OverflowError` for a time that no calendar holds."""
    return [
        *(instant(getattr(alert, name)) for name in TIMES.values()),
        *(None if (amount := getattr(alert, name)) is None else usd(amount) for name in AMOUNTS.values()),
        *(getattr(alert, name) for name in PLAIN.values()),
        *(_decimal(alert.unit, getattr(alert, name)) for name in IN_UNIT),
        usd(alert.threshold_micro_usd),
        None if alert.covered_since is None else instant(alert.covered_since),
    ]


def from_row(row: Mapping[str, Any]) -> Alert:
    """Return the alert that a row holds. Rows do not keep ``received_us``: it is 0.

    Where 0.1 recorded the alert and dropped its unit, that is the rule's; empty for a rule that this release lacks.
    """
    fields: dict[str, Any] = {name: unix_seconds(row[column]) for column, name in TIMES.items()}
    amounts = ((name, row[column]) for column, name in AMOUNTS.items())
    fields.update((name, None if amount is None else int(amount.scaleb(6))) for name, amount in amounts)
    fields.update((name, row[column]) for column, name in PLAIN.items())
    if fields["unit"] is None:
        fields["unit"] = unit_of(fields["rule"])
    fields.update((name, _integer(fields["unit"], row[name])) for name in IN_UNIT)
    fields["threshold_micro_usd"] = int(row[THRESHOLD_USD].scaleb(6))
    since = row[COVERED_SINCE]
    return Alert(received_us=0, covered_since=None if since is None else unix_seconds(since), **fields)


def _decimal(unit: str, integer: int | None) -> Decimal | None:
    return UNITS[unit].decimal(integer) if integer is not None and unit in UNITS else None


def _integer(unit: str, value: Decimal | None) -> int | None:
    return UNITS[unit].integer(value) if value is not None and unit in UNITS else None
