"""Whether messages follow each other: what was fetched may be dropped on the way, and must then be fetched again.

Faust drops fetched messages around a rebalance: while it seeks partitions one after another, and when the flow stops.
It also drops a fetch that ends after a seek which should have followed it. It takes the hole for a gap in the log. It
then commits past the hole, or lets a table store claim records that it lacks. Here a message is taken only if the one
before it was. If one is missing, the position is put back to it.
"""

from collections.abc import Mapping
from enum import Enum

from faust.types import TP


class Step(Enum):
    """What to do with fetched messages: ``TAKE`` them, ``DROP`` them, or drop them and fetch again (``REWIND``)."""

    TAKE = "take"
    DROP = "drop"
    REWIND = "rewind"


class Continuity:
    """The next offset of each partition. Nothing is taken of a partition before :meth:`begin` names it."""

    def __init__(self) -> None:
        self._next: dict[TP, int] = {}
        self._rewound: set[TP] = set()
        self._unknown: set[TP] = set()

    def forget(self) -> None:
        """Take nothing for now: positions are about to change."""
        self._next.clear()
        self._rewound.clear()
        self._unknown.clear()

    def begin(self, offsets: Mapping[TP, int]) -> set[TP]:
        """Go on from these offsets. Return the partitions of which something was dropped meanwhile: put them back."""
        self._next.update(offsets)
        return self._unknown & offsets.keys()

    def next(self, tp: TP) -> int | None:
        """Return the offset behind what was taken; None where nobody has said where to begin."""
        return self._next.get(tp)

    def wanted(self, tp: TP) -> int | None:
        """Return the offset that must come next; None before :meth:`begin`, which then says to fetch it again."""
        wanted = self._next.get(tp)
        if wanted is None:
            self._unknown.add(tp)
        return wanted

    def fetched(self, tp: TP, first: int) -> None:
        """Remember where a fetch begins, before any of it can be lost.

        If it begins behind what was asked for again, the log has nothing there: retention has removed it, or those
        are a transaction's marks.
        """
        if tp in self._rewound:
            self._rewound.discard(tp)
            self._next[tp] = max(first, self._next[tp])

    def judge(self, tp: TP, first: int, last: int) -> Step:
        """Say what to do with the messages ``first`` to ``last`` of one fetch."""
        wanted = self.wanted(tp)
        if wanted is None or last < wanted:
            return Step.DROP
        if first != wanted:
            # Of what begins before, the first messages were taken already: the rest comes again without them.
            if tp in self._rewound:
                return Step.DROP
            self._rewound.add(tp)
            return Step.REWIND
        self._next[tp] = last + 1
        return Step.TAKE
