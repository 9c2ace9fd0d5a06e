"""The frame: the trades of one symbol that travel in one Kafka message, as columns.

Format, version 1: a msgpack array ``[1, venue, symbol, received_us, ids, times_us, prices, notionals, rests,
quantities, fractions, flags]``. The last eight are byte strings, little endian, one item per trade in the order
of arrival:

========== ======== =================================================================================
column     item     meaning
========== ======== =================================================================================
ids        i8 / 16B trade id, or its 128-bit value (big endian, 16 bytes), as the market's kind says
times_us   i8       event time, microseconds UTC
prices     f8       price in the quote currency (the double nearest to the venue's decimal)
notionals  i8       notional in micro-USD
rests      i4       price x quantity minus the notional, in 1e-15 USD
quantities i8       base quantity, whole units
fractions  i8       base quantity, the fraction in 1e-14
flags      u1       bits 0-1 taker side, bits 2-3 kind, bit 4 snapshot
========== ======== =================================================================================

Four items may follow. The first is the market's kind, ``[name, has_liquidations, id_bytes]``, where the symbol does
not imply it (:func:`streams.model.kinds.implied_kind`). The second is true in a frame without trades that ends a
market's recording. The third is a list of texts, one per trade: the venue's word for a kind that the flags cannot hold,
such as "assignment". Such a trade is a block there, so whoever does not know the list keeps it out of windows too. The
fourth is true in a frame without trades by which an operator turns back a market whose clock ran ahead. A release that
does not know it refuses that frame, since it has no trades.

What later releases add within version 1 a reader leaves alone: items behind these, and the bits 5 to 7 of a flag. A
frame of another version is refused. See decision 0023.

A message that begins with ``{`` is no frame but one trade as JSON, see :mod:`streams.venues.json_rows`.
"""

import struct
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy.typing as npt

from streams.errors import UNREADABLE, BadRecord
from streams.model.amounts import UNITS_PER_BASE, amounts_of
from streams.model.kinds import MAX_NAME, WIDE_ID_BYTES, MarketKind, implied_kind, kind_to_name
from streams.model.trade import MAX_WORD, Trade, is_market_name

VERSION: Final = 1
# FRAME_MAX_TRADES allows no more. Column sums of as many trades stay within 63 bits (streams/model/amounts.py), and a
# frame stays below Kafka's 1 MB.
MAX_FRAME_TRADES: Final = 5000

SIDE_MASK: Final = 0b11
KIND_SHIFT: Final = 2
KIND_MASK: Final = 0b1100
SNAPSHOT: Final = 0b10000


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=False):
    """A frame as it travels; columns are bytes, see the module's docstring. Further columns are not read."""

    version: int
    venue: str
    symbol: str
    received_us: int
    ids: bytes
    times_us: bytes
    prices: bytes
    notionals: bytes
    rests: bytes
    quantities: bytes
    fractions: bytes
    flags: bytes
    named_kind: MarketKind | None = None
    is_end: bool = False
    words: list[Annotated[str, msgspec.Meta(max_length=MAX_WORD)]] | None = None
    is_reset: bool = False

    def __len__(self) -> int:
        return len(self.flags)

    @property
    def kind(self) -> MarketKind:
        """What kind of market its trades are of."""
        return self.named_kind or implied_kind(self.symbol)

    @property
    def wide_ids(self) -> bool:
        """Whether ids are 128-bit values: the kind says it, and :func:`decode_frame` has checked the width."""
        return self.kind.has_wide_ids

    def trade_ids(self) -> list[int]:
        """Return the ids in order of arrival."""
        if self.wide_ids:
            step = WIDE_ID_BYTES
            return [int.from_bytes(self.ids[at : at + step], "big") for at in range(0, len(self.ids), step)]
        return array("q", self.ids).tolist()

    def figures(self) -> list[tuple[int, float, int, int, int, int]]:
        """Return (time_us, price, notional, whole quantity, fraction, flags) of each trade in order of arrival."""
        return list(
            zip(
                array("q", self.times_us).tolist(),
                array("d", self.prices).tolist(),
                array("q", self.notionals).tolist(),
                array("q", self.quantities).tolist(),
                array("q", self.fractions).tolist(),
                self.flags,
                strict=True,
            )
        )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)
_items_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def flags_of(trade: Trade) -> int:
    """Return the trade's side, kind and snapshot mark as one byte."""
    return trade.side | trade.kind << KIND_SHIFT | (SNAPSHOT if trade.is_snapshot else 0)


def encode_frame(venue: str, symbol: str, trades: Sequence[Trade], received_us: int) -> bytes:
    """Return the frame of these trades, all of one venue, symbol and kind of market, in order of arrival.

    Raises :class:`BadRecord` where a trade's amounts are absurd (see :mod:`streams.model.amounts`).
    """
    if not 1 <= len(trades) <= MAX_FRAME_TRADES:
        raise BadRecord("magnitude", f"a frame holds 1 to {MAX_FRAME_TRADES} trades, not {len(trades)}")
    amounts = [amounts_of(trade) for trade in trades]
    ids = [trade.trade_id for trade in trades]
    split = [divmod(amount.quantity_units, UNITS_PER_BASE) for amount in amounts]
    kind = trades[0].product.kind
    told = kind_to_name(symbol, kind)
    # In the order of Frame's fields.
    items = (
        VERSION,
        venue,
        symbol,
        received_us,
        b"".join(i.to_bytes(WIDE_ID_BYTES, "big") for i in ids) if kind.has_wide_ids else _column("<q", ids),
        _column("<q", [trade.time_us for trade in trades]),
        _column("<d", [float(trade.price) for trade in trades]),
        _column("<q", [amount.notional_micro_usd for amount in amounts]),
        _column("<i", [amount.notional_rest for amount in amounts]),
        _column("<q", [whole for whole, _ in split]),
        _column("<q", [fraction for _, fraction in split]),
        bytes(flags_of(trade) for trade in trades),
    )
    if any(trade.word for trade in trades):
        return _encoder.encode((*items, told, False, [trade.word for trade in trades]))
    return _encoder.encode(items if told is None else (*items, told))


# In the order of Frame's fields, and how each is written.
_COLUMN_TYPES: Final = ("<i8", "<i8", "<f8", "<i8", "<i4", "<i8", "<i8")


def encode_columns(
    venue: str,
    symbol: str,
    kind: MarketKind,
    received_us: int,
    columns: Sequence[npt.NDArray[Any]],
    flags: npt.NDArray[Any],
) -> bytes:
    """Return the frame of trades whose amounts are known, with ids of 8 bytes.

    ``columns`` are ids, times_us, prices, notionals, rests, quantities and fractions. Raises :class:`BadRecord` for
    more trades than a frame holds.
    """
    if not 1 <= len(flags) <= MAX_FRAME_TRADES:
        raise BadRecord("magnitude", f"a frame holds 1 to {MAX_FRAME_TRADES} trades, not {len(flags)}")
    written = [column.astype(item).tobytes() for column, item in zip(columns, _COLUMN_TYPES, strict=True)]
    items = (VERSION, venue, symbol, received_us, *written, flags.astype("u1").tobytes())
    told = kind_to_name(symbol, kind)
    return _encoder.encode(items if told is None else (*items, told))


def encode_end(venue: str, symbol: str, kind: MarketKind, received_us: int) -> bytes:
    """Return the frame that ends a market's recording: its newest pane is over, since nothing follows."""
    columns = [b""] * 8
    return _encoder.encode((VERSION, venue, symbol, received_us, *columns, kind_to_name(symbol, kind), True))


def encode_reset(venue: str, symbol: str, received_us: int) -> bytes:
    """Return the frame that turns a market back whose clock ran ahead: what is later than its record is forgotten."""
    columns = [b""] * 8
    return _encoder.encode((VERSION, venue, symbol, received_us, *columns, None, False, None, True))


def _column(item: str, values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}{item[1]}", *values)


def _other_version(data: bytes) -> str:
    """Say which version a frame has that this release does not know; nothing where it cannot be told."""
    try:
        version = msgspec.msgpack.decode(_items_decoder.decode(data)[0], type=int)
    except (*UNREADABLE, IndexError):
        return ""
    return "" if version == VERSION else f"frame version {version} is not known, only {VERSION} is"


def decode_frame(data: bytes) -> Frame:
    """Read a frame and check its shape. Raises :class:`BadRecord` (``not_a_frame``) on anything else."""
    try:
        frame = _decoder.decode(data)
    except UNREADABLE as error:
        raise BadRecord("not_a_frame", _other_version(data) or str(error)[:200]) from None
    count = len(frame)
    kind = frame.kind
    if frame.version != VERSION:
        raise BadRecord("not_a_frame", f"frame version {frame.version} is not known, only {VERSION} is")
    if frame.is_reset and count:
        raise BadRecord("not_a_frame", f"a frame that turns a market back holds no trades, not {count}")
    if not (0 if frame.is_end or frame.is_reset else 1) <= count <= MAX_FRAME_TRADES:
        raise BadRecord("not_a_frame", f"a frame holds 1 to {MAX_FRAME_TRADES} trades, not {count}")
    if any(
        len(column) != width * count
        for column, width in (
            (frame.ids, kind.id_bytes),
            (frame.times_us, 8),
            (frame.prices, 8),
            (frame.notionals, 8),
            (frame.rests, 4),
            (frame.quantities, 8),
            (frame.fractions, 8),
        )
    ):
        raise BadRecord(
            "not_a_frame", f"columns of a frame must hold one item per trade, here with ids of {kind.id_bytes} bytes"
        )
    if frame.words is not None and len(frame.words) != count:
        raise BadRecord("not_a_frame", f"{len(frame.words)} words for kinds in a frame of {count} trades")
    if not (is_market_name(frame.venue) and is_market_name(frame.symbol)):
        raise BadRecord("not_a_frame", f"venue and symbol must be 1 to {MAX_NAME} printable characters other than '|'")
    return frame
