"""When the next request may be sent: within a rate, and after a pause where the venue put requests off.

Pure: the caller reads the clock. Times are seconds of a monotonic clock.
"""

import random
from typing import Final

from streams.backoff import Delays, doubling

# Kraken's support named 20 messages a second. Two producers behind one address share them.
REQUESTS_PER_SECOND: Final = 10.0
# What a start sends at once: with chunks of 50, the first 250 symbols.
BURST: Final = 5
# An answer such as "Exceeded msg rate" ends within a second, and a maintenance within minutes.
LEAST_SECONDS: Final = 1.0
# A venue that is back is asked within half a minute, also where it does not say that it is.
MOST_SECONDS: Final = 30.0


class RequestPace:
    """Keeps requests within ``per_second``, ``burst`` of them at once, and pauses from ``least_seconds`` on.

    Pauses double up to ``most_seconds``. ``rng`` gives the jitter, since all producers are put off at one moment.
    """

    def __init__(
        self,
        *,
        per_second: float = REQUESTS_PER_SECOND,
        burst: int = BURST,
        least_seconds: float = LEAST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        rng: random.Random | None = None,
    ) -> None:
        random_of = rng or random.Random()  # noqa: S311 - jitter, not a secret

        def jitter(seconds: float) -> float:
            return random_of.uniform(max(least_seconds, seconds / 2), seconds)

        self._per_second = per_second
        self._burst = burst
        self._room = float(burst)
        self._counted_at = float("-inf")
        self._paused_until = float("-inf")
        self._delays = Delays(doubling(least_seconds * 2, most_seconds), jitter=jitter)

    def room(self, now: float) -> int:
        """Return how many requests may be sent now."""
        if now < self._paused_until:
            return 0
        self._room = min(float(self._burst), self._room + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        return int(self._room)

    def took(self, count: int) -> None:
        """Count requests that are sent."""
        self._room -= count

    def put_off(self, now: float) -> None:
        """Pause, since the venue cannot answer now. Several such answers at one time are one."""
        if now >= self._paused_until:
            self._paused_until = now + self._delays.next_seconds()

    def pause_left(self, now: float) -> float:
        """Return how long nothing may be asked, in seconds."""
        return max(0.0, self._paused_until - now)

    def accepted(self) -> None:
        """Begin with the shortest pause again: the venue takes requests."""
        self._delays.reset()

    def resume(self) -> None:
        """End a pause: the venue says that it is back."""
        self._delays.reset()
        self._paused_until = float("-inf")
