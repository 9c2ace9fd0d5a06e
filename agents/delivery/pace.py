"""How many messages a service takes in a minute, and so when alerts share one. Pure: its caller reads the clock."""

from collections import deque
from typing import Final

MINUTE_SECONDS: Final = 60.0


class Pace:
    """What this process has posted in the last minute, against ``posts_a_minute``; None: the service has no limit."""

    def __init__(self, posts_a_minute: int | None) -> None:
        self._posts_a_minute = posts_a_minute
        self._posted: deque[float] = deque()
        self._limited_until = float("-inf")

    def posted(self, now: float) -> None:
        """Count a message. ``now`` is in seconds of a clock that only goes on."""
        if self._posts_a_minute is not None:
            self._posted.append(now)

    def limited(self, now: float) -> None:
        """Note that the service asks to slow down: others post to the same address, or its limit is lower."""
        self._limited_until = now + MINUTE_SECONDS

    def left(self, now: float) -> int | None:
        """Return how many more messages may be posted in the minute that ends ``now``; None: any number."""
        if self._posts_a_minute is None:
            return None
        while self._posted and self._posted[0] <= now - MINUTE_SECONDS:
            self._posted.popleft()
        return 0 if now < self._limited_until else max(0, self._posts_a_minute - len(self._posted))
