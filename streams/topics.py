"""Names of topics and of the consumer group, in one place."""

from typing import Final

APP_ID: Final = "liquidation-monitor"

TRADES: Final = "trades"
"""Frames (or one JSON row a message), keyed by symbol."""

ALERTS: Final = "alerts"
"""Alert rows as JSON (:class:`streams.records.Alert`), keyed by symbol."""

DEAD_LETTERS: Final = "dead-letters"
"""Refused records with reason, coordinates and bytes (:class:`streams.deadletters.DeadLetter`), keyed by reason."""
