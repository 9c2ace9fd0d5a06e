"""How long a venue's socket may be silent, and how soon it is opened again."""

from dataclasses import dataclass

from streams.settings import Settings
from streams.venues.reconnect import FAST_TRIES, LEAST_SECONDS, MOST_SECONDS


@dataclass(frozen=True, slots=True)
class SocketTiming:
    """Deadlines and pauses of a feed, in seconds.

    The venues close a socket that was idle for a minute: ``ping_seconds`` stays well below.
    """

    heartbeat_timeout_seconds: float = 10.0
    symbol_stale_seconds: float = 300.0
    ack_timeout_seconds: float = 10.0
    ping_seconds: float = 20.0
    open_timeout_seconds: float = 10.0
    fast_tries: int = FAST_TRIES
    least_backoff_seconds: float = LEAST_SECONDS
    most_backoff_seconds: float = MOST_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> "SocketTiming":
        """Return the timing that the settings ask for."""
        return cls(
            heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
            symbol_stale_seconds=settings.symbol_stale_seconds,
        )
