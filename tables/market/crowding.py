"""How many ids a chunk may hold: a chunk is one record of the changelog, and the broker limits records. Pure.

Ids that follow each other share two numbers, whatever their count. Ids with holes between them take 18 bytes each, as
wide ids do. Whoever may write to the topic can make them up. A trade whose id finds no room is refused. What the
chunk holds decides alone, so a replay refuses the same trades.
"""

from collections.abc import Sequence
from typing import Final

from tables.market.identities import TradeId, grows
from tables.market.panes import Pane

MAX_ID_BYTES: Final = 7 * 1024**2
"""Bytes of ids in a chunk: 407 000 wide ids, or ids with holes between them, which is 12 700 trades a second for 32 s.

A record of the changelog may hold 8 MiB (``streams/kafka/admin.py``). The rest of a chunk is a few kilobytes, and what
is below :data:`CROWDED` in each pane, 570 kB at most.
"""

CROWDED: Final = 1024
"""Entries of a pane from which on it is asked whether there is room. Below, counting costs nothing more."""

_BYTES: Final = 9
"""Bytes of a bound of a range in msgpack, at most."""

_WIDE_BYTES: Final = 18


class Crowd:
    """The ids of a chunk, while trades are counted into one of its panes."""

    def __init__(self, panes: Sequence[Pane | None], counted: Pane) -> None:
        self._elsewhere = sum(id_bytes(pane.ids) for pane in panes if pane is not None and pane is not counted)

    def has_room(self, ids: list[TradeId], trade_id: TradeId) -> bool:
        """Whether an id can be added to the ids of the pane that is counted into. One that is held already can."""
        longer = id_bytes(ids) + 2 * _BYTES
        return self._elsewhere + longer <= MAX_ID_BYTES or not grows(ids, trade_id)


def id_bytes(ids: list[TradeId]) -> int:
    """Return the most that ids take as stored."""
    return len(ids) * (_WIDE_BYTES if ids and isinstance(ids[0], bytes) else _BYTES)
