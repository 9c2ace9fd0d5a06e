"""Which offset may be committed: that behind the messages that were handled, of those taken, without one missing.

Faust lists every offset on its own, and sorts the list at each commit. A bundle stands for thousands. Messages are
taken in order (:mod:`streams.worker.continuity`), so the offsets in between, and holes of the log, need no account.
"""

from collections import defaultdict, deque

from faust.types import TP


class Taken:
    """The messages taken of each partition, by the last offset of each, until the commit that covers them."""

    def __init__(self) -> None:
        self._lasts: dict[TP, deque[int]] = defaultdict(deque)

    def forget(self) -> None:
        """Positions have changed: what was taken before is taken again, or belongs to another worker."""
        self._lasts.clear()

    def took(self, tp: TP, last: int) -> None:
        """Take note of a message: the next after those before it."""
        self._lasts[tp].append(last)

    def to_commit(self, tp: TP, acked: set[int]) -> int | None:
        """Return the offset behind what is handled without a gap; None for nothing new.

        ``acked`` are the last offsets of messages that were acknowledged. Those that are covered are taken from it.
        """
        lasts, offset = self._lasts[tp], None
        while lasts and lasts[0] in acked:
            offset = lasts.popleft() + 1
        if offset is not None:
            acked.difference_update([last for last in acked if last < offset])
        return offset
