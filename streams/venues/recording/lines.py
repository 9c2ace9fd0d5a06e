"""What the lines of a recording mean, beginning with rows of CSV. Lines of JSON are read in ``json_lines``.

No I/O: lines go in, batches come out. A row that cannot be used becomes a reject with its bytes; no other row is lost.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol

from streams.errors import BadRecord
from streams.model.deadletters import fitted
from streams.model.products import Product
from streams.model.trade import Batch, Kind, Reject, Side, Trade

MICROS: Final = 1_000_000

SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, "b": Side.BUY, "s": Side.SELL}
_HEADER: Final = ("time_ms", "side", "price", "qty")


class Format(Protocol):
    """Turns lines (without their line ends) into batches. ``number`` is that of the first line, counted from 1."""

    def read(self, lines: Sequence[bytes], number: int) -> list[Batch]:
        """Return what the lines hold, in order."""
        ...


def seconds_to_us(text: str) -> int:
    """Return unix seconds, possibly fractional, as whole microseconds, cut off and never through a float.

    Raises :class:`ValueError` for anything else than plain digits.
    """
    whole, dot, fraction = text.strip().partition(".")
    if not (whole.isdigit() and whole.isascii()) or (dot and not (fraction.isdigit() and fraction.isascii())):
        raise ValueError(f"{text[:40]!r} is no time in seconds")
    return int(whole) * MICROS + int((fraction + "000000")[:6])


def milliseconds_to_us(text: str) -> int:
    """Return unix milliseconds as microseconds. Raises :class:`ValueError` for anything else than plain digits."""
    digits = text.strip()
    if not (digits.isdigit() and digits.isascii()):
        raise ValueError(f"{text[:40]!r} is no time in milliseconds")
    return int(digits) * 1000


def reject(reason: str, detail: str, payload: bytes, venue: str, symbol: str = "") -> Reject:
    """Return a reject whose payload fits into a dead letter; what had to be cut is said in its detail."""
    return Reject(reason, *fitted(detail, payload), venue, symbol)


class CsvFormat:
    """Rows of one market. They carry no ids: a row's id is the number of its data line, counted from 1.

    Without ``header`` the columns are Kraken's ``timestamp,price,volume``: times are seconds, and the taker's side is
    not known. With it, ``time_ms,side,price,qty`` are found by name.
    """

    def __init__(self, venue: str, symbol: str, product: Product, header: bytes | None) -> None:
        self._venue = venue
        self._symbol = symbol
        self._product = product
        if header is None:
            self._time, self._price, self._quantity, self._width = 0, 1, 2, 3
            self._side: int | None = None
            self._to_us = seconds_to_us
        else:
            names = header_fields(header)
            self._time, self._side, self._price, self._quantity = (names.index(name) for name in _HEADER)
            self._width = len(names)
            self._to_us = milliseconds_to_us

    def read(self, lines: Sequence[bytes], number: int) -> list[Batch]:
        """Return the rows as one batch; blank lines are skipped but counted."""
        trades: list[Trade] = []
        rejects: list[Reject] = []
        venue, symbol, product, width = self._venue, self._symbol, self._product, self._width
        time, price, quantity, side, to_us = self._time, self._price, self._quantity, self._side, self._to_us
        for trade_id, line in enumerate(lines, number):
            fields = line.decode("latin-1").rstrip("\r").split(",")
            is_row = len(fields) == width and b"_" not in line
            try:
                if is_row:
                    paid = Decimal(fields[price])
                    amount = Decimal(fields[quantity])
                    taker = Side.UNKNOWN if side is None else SIDES[fields[side]]
                    time_us = to_us(fields[time])
                    trades.append(Trade(venue, symbol, trade_id, taker, Kind.FILL, paid, amount, time_us, product))
                    continue
                bad = self._explain(fields)
            except BadRecord as error:
                bad = error
            except (ValueError, ArithmeticError, LookupError):
                bad = self._explain(fields)
            if line.strip():
                rejects.append(reject(bad.reason, f"line {trade_id}: {bad.detail}", line, venue, symbol))
        return [Batch(trades, 0, rejects)]

    def _explain(self, fields: list[str]) -> BadRecord:
        if len(fields) < self._width:
            return BadRecord("missing_field", f"{len(fields)} fields, not {self._width}")
        if len(fields) > self._width:
            return BadRecord("wrong_type", f"{len(fields)} fields, not {self._width}")
        try:
            self._to_us(fields[self._time])
        except ValueError as error:
            return BadRecord("bad_time", str(error))
        if self._side is not None and fields[self._side] not in SIDES:
            return BadRecord("bad_side", f"side is {fields[self._side][:32]!r}")
        try:
            parse_number(fields[self._price], "price")
            parse_number(fields[self._quantity], "quantity")
        except BadRecord as error:
            return error
        return BadRecord("wrong_type", "not a row of this file")


def header_fields(line: bytes) -> list[str]:
    """Return a CSV header's names in lower case."""
    return [name.strip().strip('"').lower() for name in line.decode("latin-1").split(",")]


def is_header(line: bytes) -> bool:
    """Whether the line names the columns ``time_ms,side,price,qty``."""
    return set(_HEADER) <= set(header_fields(line))


def parse_number(text: str, name: str) -> Decimal:
    """Return a price or quantity exactly as written. Raises :class:`BadRecord` for what is no number."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise BadRecord("wrong_type", f"{name} is {text[:32]!r}, not a number") from None
    if "_" in text:
        raise BadRecord("wrong_type", f"{name} is {text[:32]!r}, not a number")
    return value
