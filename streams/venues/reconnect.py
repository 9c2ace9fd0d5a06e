"""When a socket may be opened again. Pure: the caller reads the clock."""

import random
from collections import deque
from typing import Final

from streams.backoff import Delays, doubling

# Kraken allows about 150 connections in ten minutes from one address, then bans it for ten minutes. Two producers
# behind one address must fit, so one feed takes less than half.
MAX_CONNECTIONS: Final = 70
WINDOW_SECONDS: Final = 600.0

# Kraken's documentation allows a handful of attempts at once after a random drop.
FAST_TRIES: Final = 5
# After those it allows no more than one attempt in five seconds.
LEAST_SECONDS: Final = 5.0
# An exchange that is back is used within a minute.
MOST_SECONDS: Final = 60.0
# A connection that lived this long was sound, and the next fault is a new one. A shorter one belongs to the last fault.
STABLE_SECONDS: Final = 30.0


class ConnectionLimiter:
    """Keeps connection attempts within ``limit`` in any ``window_seconds``. Times are seconds of a monotonic clock."""

    def __init__(self, limit: int = MAX_CONNECTIONS, window_seconds: float = WINDOW_SECONDS) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._attempts: deque[float] = deque(maxlen=limit)

    def wait_seconds(self, now: float) -> float:
        """Return how long the next attempt has to wait; 0 when it may start."""
        if len(self._attempts) < self._limit:
            return 0.0
        return max(0.0, self._attempts[0] + self._window_seconds - now)

    def attempted(self, now: float) -> None:
        """Count an attempt."""
        self._attempts.append(now)


class Backoff:
    """The pause before the next attempt: none for a handful of tries, then exponential with jitter.

    ``rng`` gives the jitter. Once the fast tries are used up, no pause is below ``least_seconds``.
    """

    def __init__(
        self,
        *,
        fast_tries: int = FAST_TRIES,
        least_seconds: float = LEAST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        rng: random.Random | None = None,
    ) -> None:
        random_of = rng or random.Random()  # noqa: S311 - jitter, not a secret

        def at_least(most: float) -> float:
            return random_of.uniform(least_seconds, max(least_seconds, most)) if most else 0.0

        self._delays = Delays((0.0,) * fast_tries + doubling(least_seconds * 2, most_seconds), jitter=at_least)

    @property
    def failures(self) -> int:
        """How many connections ended or never opened since the last sound one."""
        return self._delays.taken

    def failed(self, lived_seconds: float) -> float:
        """Count a connection that lived for so long, or never opened. Return the pause before the next, in seconds."""
        if lived_seconds >= STABLE_SECONDS:
            self._delays.reset()
        return self._delays.next_seconds()
