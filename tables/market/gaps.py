"""Trades of a market that must exist and are not counted, told by the ids of those that are. Pure.

A venue may number a market's trades one after another, without leaving a number out. Then a number that lies between
two counted ones, and is not counted itself, is a trade that is missing. Nothing is remembered for this: panes hold ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.panes import Pane

BLOCK_CHUNKS: Final = 16
"""Chunks in a block: nine minutes. Of a market with an hour of panes, whose ids follow each other, spans by chunk take
35 kB and spans by block 3 kB. A block is made anew in 0.3 ms: when its oldest chunk is dropped or its newest begins to
rest."""


class Gap(NamedTuple):
    """Ids ``first_id`` to ``last_id``, none of which is counted, between two that are.

    ``before`` and ``behind`` are the panes of the ids beside it. Its trades happened between them, or in one of them.
    Ids and times may cross at a second's edge, so either pane may be the earlier one.
    """

    first_id: int
    last_id: int
    before: int
    behind: int

    @property
    def earliest(self) -> int:
        """The pane before which none of its trades happened."""
        return min(self.before, self.behind)

    @property
    def latest(self) -> int:
        """The pane after which none of its trades happened."""
        return max(self.before, self.behind)

    @property
    def trades(self) -> int:
        """How many trades are missing."""
        return self.last_id - self.first_id + 1


class IdSpan(NamedTuple):
    """Ids ``low`` to ``high``, all counted; ``low_pane`` and ``high_pane`` hold the two."""

    low: int
    high: int
    low_pane: int
    high_pane: int


class IdSpans:
    """The ids of a market's chunks as spans, kept for blocks of chunks at rest.

    Whoever wakes a chunk, has one begin to rest, or drops one, calls :meth:`discard`.
    """

    __slots__ = ("_joined", "_of_blocks")

    def __init__(self) -> None:
        self._of_blocks: dict[int, tuple[IdSpan, ...]] = {}
        # Those of all blocks as one list. It is made anew when a chunk begins to rest, once in half a minute.
        self._joined: list[IdSpan] = []

    def discard(self, at: int) -> None:
        """Forget the spans of the block that a chunk is in."""
        if self._of_blocks.pop(at // BLOCK_CHUNKS, None) is not None:
            self._joined = []

    def clear(self) -> None:
        """Forget all."""
        self._of_blocks.clear()
        self._joined = []

    def gaps(self, chunks: Mapping[int, Chunk]) -> list[Gap]:
        """Return the gaps between all ids of these chunks, which are integers, in order of their ids."""
        awake: list[IdSpan] = []
        unknown: dict[int, list[IdSpan]] = {}
        for at, chunk in chunks.items():
            if chunk.awake is not None:
                awake += _spans_in(chunk)
            elif (block := at // BLOCK_CHUNKS) not in self._of_blocks:
                unknown.setdefault(block, []).extend(_spans_in(chunk))
        if unknown or not self._joined:
            self._of_blocks |= {block: tuple(_joined(sorted(spans))) for block, spans in unknown.items()}
            self._joined = list(_joined(sorted(span for spans in self._of_blocks.values() for span in spans)))
        return gaps_between([*self._joined, *awake])


def gaps_between(spans: Iterable[IdSpan]) -> list[Gap]:
    """Return what lies between spans, in order of the ids."""
    return [
        Gap(before.high + 1, behind.low - 1, before.high_pane, behind.low_pane)
        for before, behind in pairwise(_joined(sorted(spans)))
    ]


def _spans_in(chunk: Chunk) -> tuple[IdSpan, ...]:
    first, whole = chunk.number * CHUNK_PANES, chunk.whole_ids()
    if whole is None:
        return spans_of(chunk.panes, first)
    # As nearly all chunks are: no pane leaves an id out, so panes need not be unpacked.
    lows, highs, places = whole
    if lows[1:] == [high + 1 for high in highs[:-1]]:
        return (IdSpan(lows[0], highs[-1], first + places[0], first + places[-1]),)
    panes = [first + place for place in places]
    return tuple(_joined(sorted(map(IdSpan, lows, highs, panes, panes))))


def spans_of(panes: Sequence[Pane | None], first: int) -> tuple[IdSpan, ...]:
    """Return the spans of panes whose ids are integers, in order of their ids; the first pane is ``first``."""
    ranges = []
    for number, pane in enumerate(panes, first):
        if pane is not None:
            ids: Sequence[int] = pane.ids  # type: ignore[assignment]
            ranges += [IdSpan(low, high, number, number) for low, high in zip(ids[::2], ids[1::2], strict=True)]
    ranges.sort()
    return tuple(_joined(ranges))


def _joined(spans: Iterable[IdSpan]) -> Iterable[IdSpan]:
    """Yield spans, which come in order of their ids, with those as one that follow each other or overlap."""
    last: IdSpan | None = None
    for span in spans:
        if last is None:
            last = span
        elif span.low > last.high + 1:
            yield last
            last = span
        elif span.high > last.high:
            last = last._replace(high=span.high, high_pane=span.high_pane)
    if last is not None:
        yield last


def missing(gaps: Iterable[Gap], first: int, last: int) -> int:
    """Return how many trades may be missing in panes ``first`` to ``last``: all of each gap that reaches into them."""
    return sum(gap.trades for gap in gaps if gap.latest >= first and gap.earliest <= last)
