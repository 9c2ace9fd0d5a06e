"""Names of topics and of the consumer group, in one place."""

from typing import Final

APP_ID: Final = "liquidation-monitor"

TRADES: Final = "trades"
"""Frames (or one JSON row per message), keyed by symbol."""

ALERTS: Final = "alerts"
"""Alert rows as JSON (:class:`streams.model.trade.Alert`), keyed by symbol."""

CLOCK: Final = "clock"
"""Empty records that nobody reads: the broker's acknowledgement says its time."""

DEAD_LETTERS: Final = "dead-letters"
"""Refused records with their bytes (:class:`streams.model.deadletters.DeadLetter`), keyed by reason."""

SOURCES: Final = frozenset({TRADES, ALERTS})
"""The topics that a worker takes messages from. Others may write to them."""
