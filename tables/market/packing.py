"""The panes of a chunk as bytes, for as long as nobody counts into them. Pure.

Panes of one market resemble each other. As columns of differences, sorted by the weight of their bytes, most of their
bytes are zero: lz4 leaves 20 to 70 bytes of a pane that takes 600 as an object. A chunk whose ids are no integers of 64
bits is packed as it is stored.
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from streams.model.amounts import UNITS_PER_BASE
from tables.market.identities import TradeId
from tables.market.panes import Pane

Integers = npt.NDArray[np.int64]

_AS_STORED: Final = 0
_COLUMNS: Final = 1
_HEADER: Final = struct.Struct("<BIIB")
"""Which of the two, a bit for each pane that is there, bytes of the ids that stand apart, and panes in all."""

_ROWS: Final = 20
_PRICES: Final = 16
"""The row from which on values are doubles."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Pane | None])
_ids_decoder: Final = msgspec.msgpack.Decoder(dict[int, list[int]])


@cache
def _packer(count: int) -> struct.Struct:
    return struct.Struct(f"<{_PRICES * count}q{(_ROWS - _PRICES) * count}d")


def pack(panes: Sequence[Pane | None]) -> bytes:
    """Return panes as bytes, for :func:`unpack`."""
    rows = [msgspec.structs.astuple(pane) for pane in panes if pane is not None]
    return (rows and _packed_columns(panes, rows)) or packed_as_stored(_encoder.encode(panes))


def packed_as_stored(panes: bytes) -> bytes:
    """Return what is stored of panes, a msgpack array, as bytes for :func:`unpack`."""
    return _HEADER.pack(_AS_STORED, 0, 0, 0) + bytes(cramjam.lz4.compress_block(panes))


def _packed_columns(panes: Sequence[Pane | None], rows: list[tuple[object, ...]]) -> bytes:
    """Return the columns of these panes; nothing where a value does not fit one."""
    (
        ids, counts, notionals, rests, wholes, fractions, buys, sells, longs, shorts, largest, highs, lows,
        first_us, first_ids, first_prices, last_us, last_ids, last_prices,
    ) = zip(*rows, strict=True)  # fmt: skip
    apart: dict[int, list[TradeId]] = {}
    low_ids, high_ids = [], []
    for at, of_pane in enumerate(ids):
        if len(of_pane) == 2:
            low_ids.append(of_pane[0])
            high_ids.append(of_pane[1])
        else:
            apart[at] = of_pane
            low_ids.append(of_pane[0] if of_pane else 0)
            high_ids.append(of_pane[-1] if of_pane else 0)
    count = len(rows)
    try:
        packed = _packer(count).pack(
            *low_ids, *high_ids, *first_ids, *last_ids, *counts, *notionals, *rests, *wholes, *fractions, *buys,
            *sells, *longs, *shorts, *largest, *first_us, *last_us, *last_prices, *first_prices, *highs, *lows,
        )  # fmt: skip
        beside = _encoder.encode(apart) if apart else b""
        _ids_decoder.decode(beside or b"\x80")
    except (struct.error, msgspec.ValidationError):
        return b""
    columns = np.frombuffer(packed, np.int64).reshape(_ROWS, count).copy()
    _shrink(columns)
    shuffled = columns.view(np.uint8).reshape(_ROWS, count, 8).transpose(0, 2, 1).tobytes()
    held = sum(1 << place for place, pane in enumerate(panes) if pane is not None)
    return _HEADER.pack(_COLUMNS, held, len(beside), len(panes)) + beside + bytes(cramjam.lz4.compress_block(shuffled))


def _shrink(rows: Integers) -> None:
    """Replace values by their differences from values that they resemble. What overflows, :func:`_grow` undoes."""
    np.subtract(rows[1], rows[3], out=rows[3])
    rows[1:3] -= rows[0]
    np.subtract(rows[1], rows[4], out=rows[4])
    np.subtract(rows[5], rows[13], out=rows[13])
    rows[10] += rows[9]
    np.subtract(rows[5], rows[10], out=rows[10])
    rows[15] -= rows[14]
    rows[17:] ^= rows[16]
    for at in (0, 14, 16):
        rows[at, 1:] = np.diff(rows[at])


def _grow(rows: Integers) -> None:
    for at in (0, 14, 16):
        np.cumsum(rows[at], out=rows[at])
    rows[17:] ^= rows[16]
    rows[15] += rows[14]
    np.subtract(rows[5], rows[10], out=rows[10])
    rows[10] -= rows[9]
    np.subtract(rows[5], rows[13], out=rows[13])
    np.subtract(rows[1], rows[4], out=rows[4])
    rows[1:3] += rows[0]
    np.subtract(rows[1], rows[3], out=rows[3])


def unpack(packed: bytes) -> list[Pane | None]:
    """Return the panes that :func:`pack` packed, as new objects."""
    columns = Columns.of(packed)
    if columns is None:
        return _decoder.decode(_stored(packed))
    return columns.panes()


def _stored(packed: bytes) -> bytes:
    return bytes(cramjam.lz4.decompress_block(memoryview(packed)[_HEADER.size :]))


class Columns:
    """The packed panes of a chunk as columns: for sums over panes that nobody needs as objects."""

    __slots__ = ("_apart", "_rows", "_size", "held")

    def __init__(self, rows: Integers, held: int, size: int, apart: bytes) -> None:
        self._rows = rows
        self._size = size
        self._apart = apart
        self.held = held

    @classmethod
    def of(cls, packed: bytes) -> "Columns | None":
        """Return the columns of packed panes, None for those that are packed as they are stored."""
        form, held, apart, size = _HEADER.unpack_from(packed)
        if form == _AS_STORED:
            return None
        start = _HEADER.size + apart
        content = np.frombuffer(bytes(cramjam.lz4.decompress_block(memoryview(packed)[start:])), np.uint8)
        shuffled = content.reshape(_ROWS, 8, held.bit_count()).transpose(0, 2, 1)
        rows = shuffled.copy().view(np.int64).reshape(_ROWS, -1)
        _grow(rows)
        return cls(rows, held, size, packed[_HEADER.size : start])

    def panes(self) -> list[Pane | None]:
        """Return the panes as new objects."""
        (
            low_ids, high_ids, first_ids, last_ids, counts, notionals, rests, wholes, fractions, buys, sells, longs,
            shorts, largest, first_us, last_us,
        ) = self._rows[:_PRICES].tolist()  # fmt: skip
        last_prices, first_prices, highs, lows = self._rows[_PRICES:].view(np.float64).tolist()
        ids = [[low, high] for low, high in zip(low_ids, high_ids, strict=True)]
        if self._apart:
            for at, of_pane in _ids_decoder.decode(self._apart).items():
                ids[at] = of_pane
        found = map(
            Pane, ids, counts, notionals, rests, wholes, fractions, buys, sells, longs, shorts, largest, highs, lows,
            first_us, first_ids, first_prices, last_us, last_ids, last_prices,
        )  # fmt: skip
        return [next(found) if self.held >> place & 1 else None for place in range(self._size)]

    def between(self, first: int, last: int) -> "Columns":
        """Return those of the places ``first`` to ``last``, both of them included. Their ids are left out."""
        start, end = (self.held & (1 << place) - 1 for place in (first, last + 1))
        return Columns(self._rows[:, start.bit_count() : end.bit_count()], end ^ start, self._size, b"")

    def with_figures(self) -> "Columns":
        """Return those of panes that hold figures, which have no places any more. Their ids are left out."""
        counts = self._rows[4]
        return self if counts.all() else Columns(self._rows[:, counts > 0], 0, 0, b"")

    def closes(self) -> list[float]:
        """Return the last price of each pane."""
        closes: list[float] = self._rows[16].view(np.float64).tolist()
        return closes

    def total(self) -> Pane:
        """Return the sums of all panes, without their ids. Each must hold figures."""
        ints: list[list[int]] = self._rows[2:_PRICES].tolist()
        if not ints[0]:
            return Pane([])
        doubles: list[list[float]] = self._rows[_PRICES:].view(np.float64).tolist()
        # Python's integers: 32 sums of 62 bits do not fit 64.
        counts, notionals, rests, wholes, fractions, buys, sells, longs, shorts = map(sum, ints[2:11])
        carried, fraction = divmod(fractions, UNITS_PER_BASE)
        return Pane(
            [], counts, notionals, rests, wholes + carried, fraction, buys, sells, longs, shorts, max(ints[11]),
            max(doubles[2]), min(doubles[3]), ints[12][0], ints[0][0], doubles[1][0],
            ints[13][-1], ints[1][-1], doubles[0][-1],
        )  # fmt: skip

    def volumes(self) -> tuple[list[int], list[int]]:
        """Return notional and liquidated notional by place; 0 where there is no pane."""
        notionals = np.zeros(self._size, np.int64)
        liquidated = np.zeros(self._size, np.int64)
        places = [place for place in range(self._size) if self.held >> place & 1]
        notionals[places] = self._rows[5]
        liquidated[places] = self._rows[11] + self._rows[12]
        return notionals.tolist(), liquidated.tolist()
