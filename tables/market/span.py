"""How long a market's panes are kept, in memory and in the table. Pure."""

import msgspec

from tables.market.chunk import CHUNK_PANES


class Span(msgspec.Struct, frozen=True):
    """How long things are kept, in panes: the rule window, how far back panes are kept, and the ring of stored chunks.

    The ring is ``slack`` panes longer than what is kept, and state is flushed before event time runs ``slack`` panes
    past the last flush. So a flush cut short by a crash never overwrites a chunk that a replay still needs.
    """

    window: int
    retention: int
    # A live market flushes every second and never comes near. A recording may pass hours between two commits: each hour
    # then costs one more flush. An hour of slack adds 113 keys to a market that trades every second.
    slack: int = 3600

    @property
    def slots(self) -> int:
        """Chunks in the stored ring."""
        return -(-(self.retention + self.slack) // CHUNK_PANES) + 2
