"""The panes of a chunk as bytes, for as long as nobody counts into them. Pure.

Panes of one market resemble each other. They become columns of differences, whose bytes are sorted by weight. Most of
these are zero: lz4 leaves 20 to 70 bytes of a pane that takes 600 as an object. A chunk whose ids are no integers of 64
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

# The columns. Those of doubles stand together, and so do those that are written as differences from the same one.
_LOW_ID, _FIRST_US, _LAST_PRICE = range(3)
_HIGH_PRICE, _LOW_PRICE, _FIRST_PRICE = range(3, 6)
_HIGH_ID, _FIRST_ID, _LAST_ID, _LAST_US = range(6, 10)
_NOTIONAL, _LARGEST, _SELL, _BUY = range(10, 14)
_COUNT, _REST, _WHOLE, _FRACTION, _LONG, _SHORT = range(14, 20)
_ROWS: Final = 20

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Pane | None])
_ids_decoder: Final = msgspec.msgpack.Decoder(dict[int, list[int]])


@cache
def _packer(count: int) -> struct.Struct:
    return struct.Struct(f"<{2 * count}q{4 * count}d{14 * count}q")


def pack(panes: Sequence[Pane | None]) -> bytes:
    """Return panes as bytes, for :func:`unpack`."""
    rows = [msgspec.structs.astuple(pane) for pane in panes if pane is not None]
    if rows and (packed := _packed_columns(panes, rows)):
        return packed
    return _HEADER.pack(_AS_STORED, 0, 0, 0) + bytes(cramjam.lz4.compress_block(_encoder.encode(panes)))


def _packed_columns(panes: Sequence[Pane | None], rows: list[tuple[object, ...]]) -> bytes:
    """Return the columns of these panes; nothing where a value does not fit one."""
    (
        ids, counts, notionals, rests, wholes, fractions, buys, sells, longs, shorts, largest, highs, lows,
        first_us, first_ids, first_prices, last_us, last_ids, last_prices,
    ) = zip(*rows, strict=True)  # fmt: skip
    count = len(rows)
    apart: dict[int, list[TradeId]] = {}
    low_ids, high_ids = (
        [of_pane[0] if of_pane else 0 for of_pane in ids],
        [of_pane[-1] if of_pane else 0 for of_pane in ids],
    )
    if set(map(len, ids)) != {2}:
        apart = {at: of_pane for at, of_pane in enumerate(ids) if len(of_pane) != 2}
    try:
        packed = _packer(count).pack(
            *low_ids, *first_us, *last_prices, *highs, *lows, *first_prices, *high_ids, *first_ids, *last_ids, *last_us,
            *notionals, *largest, *sells, *buys, *counts, *rests, *wholes, *fractions, *longs, *shorts,
        )  # fmt: skip
        beside = _encoder.encode(apart) if apart else b""
        _ids_decoder.decode(beside or b"\x80")
    except (struct.error, msgspec.ValidationError):
        return b""
    columns = np.frombuffer(packed, np.int64).reshape(_ROWS, count).copy()
    _shrink(columns)
    shuffled = columns.view(np.uint8).reshape(_ROWS, count, 8).transpose(0, 2, 1).tobytes()
    held = (1 << count) - 1
    if count < len(panes):
        held = sum(1 << place for place, pane in enumerate(panes) if pane is not None)
    return _HEADER.pack(_COLUMNS, held, len(beside), len(panes)) + beside + bytes(cramjam.lz4.compress_block(shuffled))


def _shrink(rows: Integers) -> None:
    """Replace values by their differences from values that they resemble. What overflows, :func:`_grow` undoes."""
    rows[_HIGH_PRICE : _FIRST_PRICE + 1] ^= rows[_LAST_PRICE]
    rows[_HIGH_ID : _LAST_ID + 1] -= rows[_LOW_ID]
    rows[_LAST_US] -= rows[_FIRST_US]
    rows[_SELL] += rows[_BUY]
    rows[_LARGEST : _SELL + 1] -= rows[_NOTIONAL]
    rows[: _LAST_PRICE + 1, 1:] -= rows[: _LAST_PRICE + 1, :-1].copy()


def _grow(rows: Integers) -> None:
    np.add.accumulate(rows[: _LAST_PRICE + 1], axis=1, out=rows[: _LAST_PRICE + 1])
    rows[_LARGEST : _SELL + 1] += rows[_NOTIONAL]
    rows[_SELL] -= rows[_BUY]
    rows[_LAST_US] += rows[_FIRST_US]
    rows[_HIGH_ID : _LAST_ID + 1] += rows[_LOW_ID]
    rows[_HIGH_PRICE : _FIRST_PRICE + 1] ^= rows[_LAST_PRICE]


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
        low_ids, first_us = self._rows[:_LAST_PRICE].tolist()
        last_prices, highs, lows, first_prices = self._prices()
        (
            high_ids, first_ids, last_ids, last_us, notionals, largest, sells, buys, counts, rests, wholes, fractions,
            longs, shorts,
        ) = self._rows[_HIGH_ID:].tolist()  # fmt: skip
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
        counts = self._rows[_COUNT]
        return self if counts.all() else Columns(self._rows[:, counts > 0], 0, 0, b"")

    def closes(self) -> list[float]:
        """Return the last price of each pane."""
        closes: list[float] = self._rows[_LAST_PRICE].view(np.float64).tolist()
        return closes

    def total(self) -> Pane:
        """Return the sums of all panes, without their ids. Each must hold figures."""
        (
            first_ids, last_ids, last_us, notionals, largest, sells, buys, counts, rests, wholes, fractions, longs,
            shorts,
        ) = self._rows[_FIRST_ID:].tolist()  # fmt: skip
        if not counts:
            return Pane([])
        last_prices, highs, lows, first_prices = self._prices()
        # Python's integers: 32 sums of 62 bits do not fit 64.
        carried, fraction = divmod(sum(fractions), UNITS_PER_BASE)
        return Pane(
            [], sum(counts), sum(notionals), sum(rests), sum(wholes) + carried, fraction, sum(buys), sum(sells),
            sum(longs), sum(shorts), max(largest), max(highs), min(lows), int(self._rows[_FIRST_US, 0]), first_ids[0],
            first_prices[0], last_us[-1], last_ids[-1], last_prices[-1],
        )  # fmt: skip

    def _prices(self) -> list[list[float]]:
        prices: list[list[float]] = self._rows[_LAST_PRICE:_HIGH_ID].view(np.float64).tolist()
        return prices


def ids_of(packed: bytes) -> tuple[list[int], list[int], list[int]] | None:
    """Return lowest id, highest id and place of each packed pane, ascending by place; all ids between them are there.

    Return None where a pane has other ids, or where panes are packed as they are stored.
    """
    form, held, apart, _ = _HEADER.unpack_from(packed)
    if form == _AS_STORED or apart:
        return None
    shuffled = np.frombuffer(bytes(cramjam.lz4.decompress_block(memoryview(packed)[_HEADER.size :])), np.uint8)
    columns = shuffled.reshape(_ROWS, 8, -1)[[_LOW_ID, _HIGH_ID]].transpose(0, 2, 1).copy().view(np.int64)
    lows, highs = columns.reshape(2, -1)
    np.add.accumulate(lows, out=lows)
    highs += lows
    return lows.tolist(), highs.tolist(), [place for place in range(held.bit_length()) if held >> place & 1]


def volumes_of(packed: bytes) -> tuple[list[int], list[int]]:
    """Return notional and liquidated notional of packed panes, by place; 0 where there is no pane."""
    form, held, apart, size = _HEADER.unpack_from(packed)
    if form == _AS_STORED:
        panes = unpack(packed)
        return (
            [pane.notional if pane is not None else 0 for pane in panes],
            [pane.liquidated if pane is not None else 0 for pane in panes],
        )
    shuffled = np.frombuffer(bytes(cramjam.lz4.decompress_block(memoryview(packed)[_HEADER.size + apart :])), np.uint8)
    # None of these columns is written as differences.
    wanted = shuffled.reshape(_ROWS, 8, -1)[[_NOTIONAL, _LONG, _SHORT]]
    amounts, longs, shorts = wanted.transpose(0, 2, 1).copy().view(np.int64).reshape(3, -1)
    if len(amounts) == size:
        return amounts.tolist(), (longs + shorts).tolist()
    notionals, liquidated = np.zeros(size, np.int64), np.zeros(size, np.int64)
    places = [place for place in range(size) if held >> place & 1]
    notionals[places] = amounts
    liquidated[places] = longs + shorts
    return notionals.tolist(), liquidated.tolist()
