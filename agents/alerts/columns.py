"""An alert and its row in ``liquidation_alerts``: the same figures in the units of each.

An alert counts money in integer micro-USD and time in unix seconds; the row holds exact decimals in USD and timestamps.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from streams.model.alert import Alert
from streams.model.figures import FIGURES

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

TIMES: Final = {
    "timestamp": "pane",
    "window_start": "window_start",
    "window_end": "window_end",
    "episode": "episode",
}
AMOUNTS: Final = {
    "threshold_usd": "threshold_micro_usd",
    **{figure.name: figure.field for figure in FIGURES if figure.type.is_amount},
}
PLAIN: Final = {
    "alert_severity": "severity",
    "rule": "rule",
    "venue": "venue",
    "symbol": "symbol",
    "window_seconds": "window_seconds",
    "source_partition": "partition",
    "source_offset": "offset",
    **{figure.name: figure.field for figure in FIGURES if not figure.type.is_amount},
}

IDENTITY: Final = ("rule", "venue", "symbol", "timestamp")
COLUMNS: Final = (*TIMES, *AMOUNTS, *PLAIN)


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
    ]


def from_row(row: Mapping[str, Any]) -> Alert:
    """Return the alert that a row holds. ``received_us`` is not kept in a row: 0."""
    fields: dict[str, Any] = {name: unix_seconds(row[column]) for column, name in TIMES.items()}
    amounts = ((name, row[column]) for column, name in AMOUNTS.items())
    fields.update((name, None if amount is None else int(amount.scaleb(6))) for name, amount in amounts)
    fields.update((name, row[column]) for column, name in PLAIN.items())
    return Alert(received_us=0, **fields)
