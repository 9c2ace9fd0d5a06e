"""How long a venue's socket may be silent, and how soon it is opened again."""

from dataclasses import dataclass

from streams.settings import Settings
from streams.venues import request_pace
from streams.venues.reconnect import FAST_TRIES, LEAST_SECONDS, MOST_SECONDS


@dataclass(frozen=True, slots=True)
class SocketTiming:
    """Deadlines and pauses of a feed, in seconds."""

    # Kraken sends a heartbeat a second. Ten missing ones are no hiccup of the network.
    heartbeat_timeout_seconds: float = 10.0
    # Busy markets are never silent for so long. For a quiet one, subscribing again costs one snapshot.
    symbol_stale_seconds: float = 300.0
    # As long as the socket itself may be silent.
    ack_timeout_seconds: float = 10.0
    # Venues close a socket that was idle for a minute: two pings may get lost.
    ping_seconds: float = 20.0
    # A connection, TLS and the upgrade take less than a second. A host that is away may never answer.
    open_timeout_seconds: float = 10.0
    fast_tries: int = FAST_TRIES
    least_backoff_seconds: float = LEAST_SECONDS
    most_backoff_seconds: float = MOST_SECONDS
    least_put_off_seconds: float = request_pace.LEAST_SECONDS
    most_put_off_seconds: float = request_pace.MOST_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> "SocketTiming":
        """Return the timing that the settings ask for."""
        return cls(
            heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
            symbol_stale_seconds=settings.symbol_stale_seconds,
        )
