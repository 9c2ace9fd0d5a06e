"""Which texts of somebody else are logged now: each once in a while, and never more than a few. Pure."""

from collections import OrderedDict
from typing import Final

# A venue has a few dozen texts. One that puts numbers into them must not fill the log.
MAX_TEXTS: Final = 100


class Sayings:
    """Tells whether a text is to be said, at most :data:`MAX_TEXTS` of them in ``every_seconds``.

    Times are seconds of a monotonic clock, read by the caller.
    """

    def __init__(self, every_seconds: float = float("inf")) -> None:
        self._every_seconds = every_seconds
        self._said: OrderedDict[str, float] = OrderedDict()

    def is_due(self, text: str, now: float) -> bool:
        """Whether the text was not said within the time; then it counts as said now."""
        while self._said and now - next(iter(self._said.values())) >= self._every_seconds:
            self._said.popitem(last=False)
        if text in self._said or len(self._said) >= MAX_TEXTS:
            return False
        self._said[text] = now
        return True
