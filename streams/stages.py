"""How long each part of the way takes, from a socket's frame to an alert's row and message.

What passes together is measured once, by the oldest in it: a trade alone would cost more to measure than to count.
"""

from typing import Final

from streams import metrics

RECEIVE: Final = "receive"
"""Producer: from a socket's frame to the frame of the topic being ready, its linger and the question to Redis too."""
PUBLISH: Final = "publish"
"""Producer: from there to the broker's acknowledgement."""
FETCH: Final = "fetch"
"""Worker: from the broker's time of a record to its bundle's turn. Not known where the broker stamps no records."""
FOLD: Final = "fold"
"""Worker: counting and judging a bundle, with the flushes that it waits for."""
ALERT: Final = "alert"
"""Worker: from the time of an alert's record to its turn behind the topic ``alerts``."""
ROW: Final = "row"
"""Worker: Postgres, until a new row is committed."""
DISCORD: Final = "discord"
"""Worker: from a new row to the service's answer that its message is posted."""

# What is older was waited for, or is replayed: its age says nothing about this program's speed. An hour is longer than
# any outage whose latency somebody would look up.
HORIZON_SECONDS: Final = 3600.0


class Stage:
    """One part of the way, in the histogram ``liqmon_stage_seconds``."""

    def __init__(self, name: str) -> None:
        self._observe = metrics.stage_seconds.labels(name).observe

    def took(self, seconds: float) -> None:
        """Take note of a duration. Times of two clocks may differ by a little less than nothing."""
        if seconds < HORIZON_SECONDS:
            self._observe(max(0.0, seconds))
