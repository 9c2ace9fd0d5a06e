"""Which markets a worker keeps: anybody who may write to the topic can invent symbols. Pure.

Markets that the settings list are always kept. Others share a budget per partition, and so many new ones a minute, by
the time of their messages. With ``only_listed`` there are no others. A message of a market that is not kept is a dead
letter. A replay may decide otherwise, since what was in memory before it may be another set.
"""

from collections.abc import Collection, Iterable
from typing import Final

from streams.errors import BadRecord

MAX_MARKETS_PER_PARTITION: Final = 1000
"""What is kept unless a setting says otherwise: with four partitions more markets than Kraken has. Every window of
so many is computed within a second or two."""

NEW_MARKETS_PER_MINUTE: Final = 300
"""What is taken in unless a setting says otherwise. A store then grows by some 100 MB a day at the most."""


class Admission:
    """``listed`` are (venue, symbol); ``most`` and ``new_per_minute`` are of the others in each partition."""

    def __init__(
        self,
        listed: Collection[tuple[str, str]] = (),
        *,
        most: int = MAX_MARKETS_PER_PARTITION,
        new_per_minute: int = NEW_MARKETS_PER_MINUTE,
        only_listed: bool = False,
    ) -> None:
        self._listed = frozenset(listed)
        self._most = most
        self._new_per_minute = new_per_minute
        self._only_listed = only_listed
        # By partition, how many new markets may come now, and when that was so, unix seconds.
        self._room: dict[int, tuple[float, float]] = {}

    def is_listed(self, venue: str, symbol: str) -> bool:
        """Whether the settings name a market."""
        return (venue, symbol) in self._listed

    def may_load(self, venue: str, symbol: str, held: int) -> bool:
        """Whether a partition that holds so many markets may hold this one too, of which something is stored."""
        return self.is_listed(venue, symbol) or (not self._only_listed and self._has_room(held))

    def _has_room(self, held: int) -> bool:
        return held < self._most + len(self._listed)

    def check(self, partition: int, venue: str, symbol: str, held: int) -> None:
        """Raise :class:`BadRecord` where a market that is not in memory may not be."""
        if self.is_listed(venue, symbol):
            return
        if self._only_listed:
            raise BadRecord("unlisted_market", f"{venue} {symbol} is none of the markets that the settings list")
        if not self._has_room(held):
            raise BadRecord(
                "too_many_markets",
                f"partition {partition} holds {held} markets already, and MAX_MARKETS_PER_PARTITION is {self._most}",
            )

    def check_new(self, partition: int, venue: str, symbol: str, at_seconds: float) -> None:
        """Raise :class:`BadRecord` where a market of which nothing is stored comes too soon behind others."""
        if self.is_listed(venue, symbol):
            return
        most = self._new_per_minute
        room, since = self._room.get(partition, (float(most), at_seconds))
        room = min(float(most), room + max(0.0, at_seconds - since) * most / 60)
        self._room[partition] = (room, max(since, at_seconds))
        if room < 1:
            raise BadRecord("new_markets", f"partition {partition} has met {most} new markets within a minute")
        self._room[partition] = (room - 1, max(since, at_seconds))

    def forget(self, partitions: Iterable[int]) -> None:
        """Forget partitions that have moved."""
        for partition in partitions:
            self._room.pop(partition, None)
