"""Which markets nobody has traded for so long that memory can do without them. Pure: the clock is given."""

from collections.abc import Callable, Iterable
from typing import Final

from tables.market.state import Market

LOOK_SECONDS: Final = 10.0
"""How often it is asked which markets are idle: a look at a thousand markets takes a fraction of a millisecond."""


class Idle:
    """When each market was used last. One that was not for ``seconds`` is idle."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._used: dict[Market, float] = {}
        self._looked: dict[int, float] = {}

    def used(self, markets: Iterable[Market]) -> None:
        """Take note that markets were loaded, or changed."""
        now = self._clock()
        self._used.update((market, now) for market in markets)

    def forget(self, market: Market) -> None:
        """Forget a market that has left memory."""
        self._used.pop(market, None)

    def is_due(self, partition: int) -> bool:
        """Whether it is time to look at a partition's markets again; true once for each time."""
        now = self._clock()
        if now - self._looked.get(partition, -LOOK_SECONDS) < LOOK_SECONDS:
            return False
        self._looked[partition] = now
        return True

    def is_idle(self, market: Market) -> bool:
        """Whether a market was not used for long."""
        return self._clock() - self._used.get(market, 0.0) > self._seconds
