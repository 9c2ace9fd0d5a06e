"""Reading values that a later release wrote: what it added is kept and written back, what it changed ends the worker.

See decision 0023.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Raw

from streams.errors import UNREADABLE, Fatal

FORMAT: Final = 1
"""The newest format of heads and chunks that this release reads, and the one it writes. A value without one has 1."""

RELEASE: Final = "release"
"""Where a value of a later format says in ``more`` who wrote it, for the line with which an older worker ends."""

Format = Annotated[int, msgspec.Meta(ge=1)]
Lengths = Callable[[list[Raw]], Iterable[int]]


class NewerState(Fatal):
    """A later release wrote a stored value in a way that this one cannot write back. The text names its key."""


class Tail(msgspec.Struct, frozen=True):
    """What a value holds behind its own fields: additions by name, and fields that this release does not know.

    Both are written back as they came. On the wire the format stands before them; without them it is left out too.
    """

    more: dict[str, Raw] = {}
    rest: tuple[Raw, ...] = ()

    def fields(self) -> tuple[object, ...]:
        """Return what follows a value's own fields on the wire."""
        return (FORMAT, self.more, *self.rest) if self.more or self.rest else ()

    def adding(self, more: dict[str, Raw]) -> "Tail":
        """Return this tail with these additions in place of those of the same names."""
        return Tail(self.more | more, self.rest) if more else self

    def without(self, name: str) -> "Tail":
        """Return this tail without an addition."""
        if name not in self.more:
            return self
        left = {one: value for one, value in self.more.items() if one != name}
        return Tail(left, self.rest) if left or self.rest else NO_TAIL


NO_TAIL: Final = Tail()
"""The tail of a value without additions. Nearly every chunk shares it: a tail for each would cost memory."""

_fields_decoder: Final = msgspec.msgpack.Decoder(list[Raw])


def tail_of(value: bytes, length: int, more: dict[str, Raw] | None) -> Tail:
    """Return the tail of a value of a known format, which has ``length`` fields of its own and these additions."""
    # Copies: a view would keep the whole value in memory.
    copied = {name: field.copy() for name, field in (more or {}).items()}
    rest = tuple(field.copy() for field in _fields_decoder.decode(value)[length + 2 :])
    return Tail(copied, rest) if copied or rest else NO_TAIL


def newer_format(key: bytes, value: bytes, length: int) -> NewerState | None:
    """Return what to raise where a value's format is above :data:`FORMAT`; None where it is not, or cannot be told."""
    try:
        fields = _fields_decoder.decode(value)
        number = msgspec.msgpack.decode(fields[length], type=int)
    except (*UNREADABLE, IndexError):
        return None
    if number <= FORMAT:
        return None
    return _newer(key, f"its format is {number}, this release reads up to {FORMAT}", _release(fields[length + 1 :]))


def longer_rows(key: bytes, value: bytes, lengths: Lengths, known: int, what: str) -> NewerState | None:
    """Return what to raise where the rows in a value have more fields than ``known``; None where they cannot be told.

    ``lengths`` gives how many each row has, of the value's fields. It may raise what msgspec and lists do.
    """
    try:
        longest = max(lengths(_fields_decoder.decode(value)), default=0)
    except (*UNREADABLE, IndexError):
        return None
    if longest <= known:
        return None
    return _newer(key, f"its {what} have {longest} fields, this release knows {known}", "")


def longer_addition(key: bytes, name: str, length: int, known: int) -> NewerState:
    """Return what to raise where an addition that this release knows has more items than ``known``."""
    return _newer(key, f"its {name} has {length} items, this release knows {known}", "")


def _release(after_format: list[Raw]) -> str:
    try:
        more = msgspec.msgpack.decode(after_format[0], type=dict[str, Raw])
        return f" ({msgspec.msgpack.decode(more[RELEASE], type=str)})"
    except (*UNREADABLE, IndexError, KeyError):
        return ""


def _newer(key: bytes, reason: str, release: str) -> NewerState:
    return NewerState(
        f"a newer release{release} wrote the state under {key!r}: {reason}; start that release again, "
        "this one has changed nothing there"
    )
