"""Partitions that stand still although messages wait in them: said once each. Pure: the clock is given.

Faust's own check compares with the start of its thread. After each rebalance of a worker older than five minutes it
called healthy partitions hanging. So did the first message after five quiet minutes.
"""

from collections.abc import Hashable


class Stalls:
    """Since when each partition has stood at an offset with more behind it."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        # By partition: where it stands, since when, and whether that was said.
        self._standing: dict[Hashable, tuple[int, float, bool]] = {}

    def forget(self) -> None:
        """Begin anew: partitions have moved."""
        self._standing.clear()

    def stalled_seconds(self, partition: Hashable, *, at: int, end: int, now: float) -> float | None:
        """Return how long a partition has stood at offset ``at``, where that is too long and was not said yet.

        ``end`` is where its log ends, ``now`` a monotonic clock in seconds.
        """
        if at >= end:
            self._standing.pop(partition, None)
            return None
        stood_at, since, was_said = self._standing.get(partition, (at, now, False))
        if stood_at != at:
            since, was_said = now, False
        is_due = not was_said and now - since >= self._after_seconds
        self._standing[partition] = at, since, was_said or is_due
        return now - since if is_due else None
