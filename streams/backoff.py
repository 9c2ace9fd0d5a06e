"""How long to wait before the next attempt, the same way everywhere: delays that grow, a last one that is kept.

Pure: who asks does the waiting. Each caller keeps its own delays and its reason for them.
"""

import random
from collections.abc import Callable, Sequence

Jitter = Callable[[float], float]
"""Turns a delay in seconds into the one that is waited, so that processes that lost one server come back apart."""


class Delays:
    """Gives ``steps`` in turn, in seconds, then the last of them for ever.

    ``taken`` counts the delays given since the last :meth:`reset`: zero means that nothing failed since.
    """

    def __init__(self, steps: Sequence[float], *, jitter: Jitter | None = None) -> None:
        self._steps = steps
        self._jitter = jitter
        self.taken = 0

    def next_seconds(self) -> float:
        """Count a failure; return how long to wait before the next attempt."""
        step = self._steps[min(self.taken, len(self._steps) - 1)]
        self.taken += 1
        return self._jitter(step) if self._jitter is not None else step

    def reset(self) -> None:
        """Begin with the first delay again: an attempt succeeded."""
        self.taken = 0


def doubling(first_seconds: float, most_seconds: float) -> tuple[float, ...]:
    """Return delays that double from the first, which is above zero, up to the greatest."""
    steps = []
    while first_seconds < most_seconds:
        steps.append(first_seconds)
        first_seconds *= 2
    return (*steps, most_seconds)


def scaled(least: float, most: float) -> Jitter:
    """Return a jitter that multiplies each delay by a random factor between ``least`` and ``most``."""
    return lambda seconds: seconds * random.uniform(least, most)  # noqa: S311 - jitter needs no cryptography
