"""Which column of a CSV holds what, told by its header, or by its numbers where it has none. No I/O."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from streams.venues.recording.times import Unit, unit_of

# The names under which programs write each figure. Where two columns could be the same figure, neither is believed.
# Of identities the first is taken: Kraken's futures have ``uid`` and ``trade_id``.
TIME: Final = (
    "time_ms",
    "timestamp_ms",
    "time_us",
    "timestamp_us",
    "time_ns",
    "timestamp_ns",
    "timestamp",
    "time",
    "ts",
    "unix",
    "unixtime",
    "date",
    "datetime",
)
PRICE: Final = ("price",)
QUANTITY: Final = ("qty", "quantity", "volume", "amount", "size", "vol")
SIDE: Final = ("side", "taker_side")
IDENTITY: Final = ("uid", "trade_id", "tradeid", "tid", "id")
SYMBOL: Final = ("symbol", "pair", "market", "instrument", "product_id")
KIND: Final = ("kind", "type")
EXCHANGE: Final = ("exchange",)
_ALL: Final = frozenset((*TIME, *PRICE, *QUANTITY, *SIDE, *IDENTITY, *SYMBOL))
_UNITS: Final = {"_ms": Unit.MILLISECONDS, "_us": Unit.MICROSECONDS, "_ns": Unit.NANOSECONDS}

_DELIMITERS: Final = ",;\t"
# Kraken's time and sales: timestamp, price, volume.
_BARE_COLUMNS: Final = 3


class UnknownColumns(Exception):
    """The columns of a CSV cannot be told; the text says what was found, and what to do."""


@dataclass(frozen=True)
class Columns:
    """Where the figures stand in rows of ``width`` fields, counted from 0; None is a figure that the file lacks."""

    delimiter: str
    width: int
    time: int
    unit: Unit
    price: int
    quantity: int
    side: int | None = None
    identity: int | None = None
    symbol: int | None = None
    kind: int | None = None
    exchange: int | None = None
    header: tuple[str, ...] = ()


def fields_of(line: bytes, delimiter: str) -> list[str]:
    """Return the fields of one line, quoted or not. Raises :class:`csv.Error`."""
    text = line.decode("latin-1").rstrip("\r\n")
    return next(csv.reader([text], delimiter=delimiter, strict=True), [])


def names_of(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a header, as they are compared."""
    return tuple(field.strip().strip('"').lower() for field in fields)


def is_header(fields: Sequence[str]) -> bool:
    """Whether the fields are names of columns: some are known, and none is a number."""
    names = names_of(fields)
    return len(_ALL.intersection(names)) > 1 and not any(_is_number(name) for name in names)


def find_columns(lines: Sequence[bytes]) -> Columns | None:
    """Return the columns of a CSV that begins with these lines, None where it is no CSV of trades.

    Raises :class:`UnknownColumns` for one whose columns cannot be told.
    """
    filled = [line for line in lines if line.strip()]
    for delimiter in _DELIMITERS:
        rows = [fields for line in filled if (fields := _fields(line, delimiter))]
        if not rows or max(len(fields) for fields in rows) == 1:
            continue
        if is_header(rows[0]):
            return _named(names_of(rows[0]), rows[1:], delimiter)
        numeric = [fields for fields in rows if len(fields) > 1 and sum(map(_is_number, fields)) > 1]
        if not numeric:
            continue
        return _bare(rows[0], numeric, delimiter)
    return None


def _named(names: tuple[str, ...], rows: Sequence[list[str]], delimiter: str) -> Columns:
    header = ",".join(names)[:200]

    def only(figure: str, known: Sequence[str], *, needed: bool = False) -> int | None:
        found = [name for name in known if name in names]
        if len(found) > 1:
            raise UnknownColumns(f"its columns {' and '.join(found)} could both be the {figure}: leave one of them")
        if not found and needed:
            raise UnknownColumns(
                f"its header {header!r} names no {figure}: one of its columns must be called {' or '.join(known)}"
            )
        return names.index(found[0]) if found else None

    time, price, quantity = (
        only(figure, known, needed=True) or 0
        for figure, known in (("time", TIME), ("price", PRICE), ("quantity", QUANTITY))
    )
    texts = [row[time] for row in rows if len(row) == len(names)]
    unit = _UNITS.get(names[time][-3:]) or unit_of(texts) or Unit.SECONDS
    identity = next((names.index(name) for name in IDENTITY if name in names), None)
    return Columns(
        delimiter,
        len(names),
        time,
        unit,
        price,
        quantity,
        side=only("side", SIDE),
        identity=identity,
        symbol=only("market", SYMBOL),
        kind=only("kind", KIND),
        exchange=only("exchange", EXCHANGE),
        header=names,
    )


def _bare(first: Sequence[str], numeric: Sequence[Sequence[str]], delimiter: str) -> Columns:
    if not any(map(_is_number, first)) and len(first) == len(numeric[0]):
        raise UnknownColumns(
            f"the columns {', '.join(first)[:200]!r} are not known: its header must name time, price and qty"
        )
    width = max((len(row) for row in numeric), key=[len(row) for row in numeric].count)
    rows = [row for row in numeric if len(row) == width]
    if width != _BARE_COLUMNS:
        raise UnknownColumns(f"it has rows of {width} columns and no header: {_ADD_HEADER}")
    units = [unit_of([row[at] for row in rows]) for at in (0, _BARE_COLUMNS - 1)]
    if units[0] is None and units[1] is not None:
        raise UnknownColumns(f"its times stand in the last column, as in price,volume,timestamp: {_ADD_HEADER}")
    return Columns(delimiter, width, 0, units[0] or Unit.SECONDS, 1, 2)


_ADD_HEADER: Final = "put a first line above it that names them, such as price,volume,timestamp"


def _fields(line: bytes, delimiter: str) -> list[str]:
    try:
        return fields_of(line, delimiter)
    except csv.Error:
        return []


def _is_number(text: str) -> bool:
    try:
        Decimal(text.strip())
    except InvalidOperation:
        return False
    return True
