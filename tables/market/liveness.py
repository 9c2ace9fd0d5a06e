"""Which panes have a live trade: only those are judged. Pure.

Of a chunk's panes that hold figures, ``quiet`` has a bit for each that only snapshots have filled. Nearly every pane is
live, so nearly every chunk has no bit, and stores nothing of it. A stored mark names the pane's count. Where that is
another now, a release that does not know marks has changed the pane: it counts as live, as it does there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Raw

from tables.market.panes import Pane

QUIET: Final = "quiet"
"""What a chunk adds where it has quiet panes: their places in it, with the count of each."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[int, int])


class MarkedChunk(Protocol):
    """What is asked of a chunk."""

    quiet: int

    @property
    def panes(self) -> Sequence[Pane | None]:
        """Its panes."""
        ...


def quiet_of(more: Mapping[str, Raw], panes: Sequence[Pane | None]) -> int:
    """Return the bits of quiet panes that a stored chunk names. Raises what msgspec does."""
    if QUIET not in more:
        return 0
    bits = 0
    for place, count in _decoder.decode(more[QUIET]).items():
        pane = panes[place] if 0 <= place < len(panes) else None
        if pane is not None and pane.count == count:
            bits |= 1 << place
    return bits


def naming_quiet(chunk: MarkedChunk) -> dict[str, Raw]:
    """Return what a chunk adds to name its quiet panes."""
    counts = {place: pane.count for place in places(chunk.quiet) if (pane := chunk.panes[place]) is not None}
    return {QUIET: Raw(_encoder.encode(counts))} if counts else {}


def places(bits: int) -> Iterable[int]:
    """Return the places of the bits that are set, ascending."""
    return (place for place in range(bits.bit_length()) if bits >> place & 1)
