"""Whether this worker's own clock is right, in words, and the time by the clock that counts: the broker's.

A clock that is wrong makes a worker unready. What it shows and stores has the broker's time all the same.
"""

import logging

from streams import metrics
from streams.kafka.broker_clock import BrokerClock

log = logging.getLogger(__name__)


class OwnClock:
    """Compares this machine's clock with the broker's. It is right where the broker tells no time."""

    def __init__(self, broker: BrokerClock, *, limit_seconds: float) -> None:
        self._broker = broker
        self._limit_seconds = limit_seconds
        metrics.clock_skew_limit_seconds.set(limit_seconds)
        # Whether trades waited when it was last said that the clock is wrong; None: it is right as far as was said.
        self._said: bool | None = None

    def now(self) -> float:
        """Return the time, unix seconds, by the broker's clock; by this machine's until that is known."""
        return self._broker.time()

    @property
    def is_right(self) -> bool:
        """Whether it is off by no more than the limit, as far as is known."""
        skew = self._broker.skew_seconds()
        return skew is None or abs(skew) <= self._limit_seconds

    def wrong(self) -> str:
        """Return what is wrong with it, for people; empty while it is right."""
        skew = self._broker.skew_seconds()
        if skew is None or abs(skew) <= self._limit_seconds:
            return ""
        return f"this machine's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the broker's"

    def look(self, *, waits: bool) -> None:
        """Say once that it is wrong, and once that it is right again. ``waits``: trades cannot be judged meanwhile."""
        found = self.wrong()
        if not found and self._said is not None:
            log.info("this machine's clock is right again%s", ": going on" if self._said else "")
            self._said = None
        elif found and self._said is not waits:
            self._said = waits
            log.error(
                "%s, more than MAX_CLOCK_SKEW_SECONDS: set it right; until then this worker is unready, and %s",
                found,
                "nothing is judged, nothing is refused and nothing is acknowledged"
                if waits
                else "goes on by the broker's time",
            )
