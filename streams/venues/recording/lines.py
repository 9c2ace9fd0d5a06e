"""What the formats of recordings share: lines go in, batches come out. No I/O.

A row that cannot be used becomes a reject with its bytes; no other row is lost.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from streams.errors import BadRecord
from streams.model.deadletters import fitted
from streams.model.trade import Batch, Reject, Side

SIDES: Final = {
    name: side
    for word, side in (("buy", Side.BUY), ("sell", Side.SELL), ("b", Side.BUY), ("s", Side.SELL))
    for name in (word, word.title(), word.upper())
}

# Ids that are made for single rows of a file whose other rows have some: no venue has counted as far.
OWN_IDS: Final = 1 << 62
# Files of one venue number their rows apart: each has room for so many.
IDS_OF_A_FILE: Final = 1 << 40


class Chunk(msgspec.Struct, frozen=True):
    """Lines of a file without their line ends, in the order in which they are played.

    ``number`` is where the first of them stands in the file, counted from 1, and ``step`` is -1 where the file is read
    backwards. ``row`` is the first one's place among the file's rows as they are played, counted from 1.
    """

    lines: Sequence[bytes]
    number: int
    step: int
    row: int

    def numbers(self) -> range:
        """Return where each line stands in the file."""
        return range(self.number, self.number + self.step * len(self.lines), self.step)


class Format(Protocol):
    """Turns lines into batches."""

    def read(self, chunk: Chunk) -> list[Batch]:
        """Return what the lines hold, in order."""
        ...

    def read_together(self, chunk: Chunk) -> list[Batch]:
        """Return the same trades and rejects, in columns where that is faster (:mod:`streams.model.plain_trades`)."""
        ...


def side_of(text: str) -> Side:
    """Return the taker's side, however its name is written. Raises :class:`BadRecord` for what is none."""
    name = text.strip().lower()
    if name == "unknown":
        return Side.UNKNOWN
    if name not in SIDES:
        raise BadRecord("bad_side", f"side is {text[:32]!r}")
    return SIDES[name]


def reject(reason: str, detail: str, payload: bytes, venue: str, symbol: str = "") -> Reject:
    """Return a reject whose payload fits into a dead letter; what had to be cut is said in its detail."""
    return Reject(reason, *fitted(detail, payload), venue, symbol)


def parse_number(text: str, name: str) -> Decimal:
    """Return a price or quantity exactly as written. Raises :class:`BadRecord` for what is no number."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise BadRecord("wrong_type", f"{name} is {text[:32]!r}, not a number") from None
    if "_" in text:
        raise BadRecord("wrong_type", f"{name} is {text[:32]!r}, not a number")
    return value
