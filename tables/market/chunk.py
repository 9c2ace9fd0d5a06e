"""A chunk in memory: 32 panes as objects while they are counted into, and as packed bytes while they rest. Pure.

A market that trades every second has nearly all of its panes behind it. As objects an hour of them takes 2.5 MB, as
packed bytes a tenth. What reads them unpacks them for the time of reading. What counts into them wakes their chunk.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tables.market.formats import NO_TAIL, Tail
from tables.market.packing import Columns, ids_of, pack, unpack, volumes_of
from tables.market.panes import Pane

CHUNK_PANES: Final = 32
"""Panes in one chunk. A flush writes the chunks that changed, so they are small enough to write every second. They are
large enough that an hour is about a hundred keys."""

UNPACKED_CHUNKS: Final = 256
"""Chunks that are kept unpacked for the next reader: 20 kB each, in a whole process. Windows of one market that are
judged one after another read the same few."""

UNPACKED_BYTES: Final = 16 * 1024
"""Packed bytes above which nothing is kept unpacked: chunks with hundreds of ids in a pane, 9 bytes each."""

AWAKE_PANE_BYTES: Final = 700
"""What a pane costs as an object, as ``python -m tests.benchmarks.memory`` measures it."""

_encoder: Final = msgspec.msgpack.Encoder()


class Chunk:
    """Panes ``number * CHUNK_PANES`` to ``(number + 1) * CHUNK_PANES - 1``; ``None`` where no trade fell.

    ``quiet`` has a bit for each that holds figures and no live trade (:mod:`tables.market.liveness`).
    """

    __slots__ = ("_figured", "_held", "_packed", "_stored", "awake", "number", "offset", "quiet", "tail")

    def __init__(
        self, offset: int, number: int, panes: list[Pane | None], tail: Tail = NO_TAIL, quiet: int = 0
    ) -> None:
        self.offset = offset
        self.number = number
        self.tail = tail
        self.quiet = quiet
        # The panes as objects; None while the chunk rests.
        self.awake: list[Pane | None] | None = panes
        self._packed = b""
        # The panes as stored, while they rest and are not flushed.
        self._stored = b""
        self._figured = self._held = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunk) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def _content(self) -> tuple[object, ...]:
        return self.offset, self.number, list(self.panes), self.tail, self.quiet

    @property
    def panes(self) -> Sequence[Pane | None]:
        """The panes, for reading only: those of a chunk at rest are shared with other readers."""
        if self.awake is not None:
            return self.awake
        return _shared(self._packed) if len(self._packed) <= UNPACKED_BYTES else unpack(self._packed)

    def columns(self) -> Columns | None:
        """Return the panes of a chunk at rest as columns, None where they are packed as they are stored."""
        return Columns.of(self._packed)

    def whole_ids(self) -> tuple[list[int], list[int], list[int]] | None:
        """Return lowest id, highest id and place of each pane of a chunk at rest; all ids between them are there.

        Return None where some are not, and where the chunk does not rest.
        """
        return ids_of(self._packed) if self.awake is None else None

    def volumes(self) -> tuple[list[int], list[int]]:
        """Return notional and liquidated notional of each pane, micro-USD, by place; 0 where there is none."""
        if self.awake is None:
            return volumes_of(self._packed)
        return (
            [pane.notional if pane is not None else 0 for pane in self.awake],
            [pane.liquidated if pane is not None else 0 for pane in self.awake],
        )

    @property
    def figured(self) -> int:
        """A bit for each pane that holds figures."""
        return _figured(self.awake) if self.awake is not None else self._figured

    @property
    def held(self) -> int:
        """How many panes hold a trade."""
        return _held(self.awake) if self.awake is not None else self._held

    @property
    def size(self) -> int:
        """About how many bytes of memory its panes take."""
        if self.awake is None:
            return len(self._packed)
        return AWAKE_PANE_BYTES * self.held

    def wake(self) -> list[Pane | None]:
        """Return the panes as objects to count into, until :meth:`rest`."""
        if self.awake is None:
            self.awake, self._packed, self._stored = unpack(self._packed), b"", b""
        return self.awake

    def rest(self, *, is_flushed: bool = True) -> None:
        """Pack the panes: nothing counts into them for now. Before they are flushed, what is to be stored stays too."""
        if is_flushed:
            self._stored = b""
        if self.awake is not None:
            self._figured, self._held = _figured(self.awake), _held(self.awake)
            self._packed = pack(self.awake)
            if not is_flushed:
                self._stored = _encoder.encode(self.awake)
            self.awake = None

    @property
    def stored_panes(self) -> object:
        """What a msgpack encoder writes as the panes."""
        return msgspec.Raw(self._stored) if self._stored else self.panes


def _figured(panes: Sequence[Pane | None]) -> int:
    if all(pane is not None and pane.count for pane in panes):
        return (1 << len(panes)) - 1
    bits = 0
    for place, pane in enumerate(panes):
        if pane is not None and pane.count:
            bits |= 1 << place
    return bits


def _held(panes: list[Pane | None]) -> int:
    return len(panes) - panes.count(None)


@lru_cache(UNPACKED_CHUNKS)
def _shared(packed: bytes) -> list[Pane | None]:
    return unpack(packed)
