"""What the lines of a recording mean: CSV rows, pages of the REST call ``Trades``, recorded socket messages.

No I/O: lines go in, batches come out. A row that cannot be used becomes a reject with its bytes; no other row is lost.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from streams.errors import BadRecord
from streams.model.deadletters import fitted
from streams.model.trade import Batch, Kind, Reject, Side, Trade
from streams.venues.kraken.parsing import parse_futures_message, parse_spot_message
from streams.venues.kraken.products import SPOT_PRODUCT, product_of
from streams.venues.recording.names import symbol_of_pair

MICROS: Final = 1_000_000

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, "b": Side.BUY, "s": Side.SELL}
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

    Without ``header`` the columns are Kraken's ``timestamp,price,volume`` (seconds; the taker's side is not known),
    with it they are found by name among ``time_ms,side,price,qty``.
    """

    def __init__(self, venue: str, symbol: str, header: bytes | None) -> None:
        self._venue = venue
        self._symbol = symbol
        self._product = product_of(symbol)
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
                    taker = Side.UNKNOWN if side is None else _SIDES[fields[side]]
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
        if self._side is not None and fields[self._side] not in _SIDES:
            return BadRecord("bad_side", f"side is {fields[self._side][:32]!r}")
        try:
            parse_number(fields[self._price], "price")
            parse_number(fields[self._quantity], "quantity")
        except BadRecord as error:
            return error
        return BadRecord("wrong_type", "not a row of this file")


class JsonFormat:
    """Lines of JSON: REST pages, bare socket messages, or ``{"received": unix seconds, "frame": message}``.

    Spot and futures messages may be mixed. ``symbol``, where given, names the market of REST pages.
    """

    def __init__(self, venue: str, symbol: str | None, usd_quotes: tuple[str, ...]) -> None:
        self._venue = venue
        self._symbol = symbol
        self._usd_quotes = usd_quotes

    def read(self, lines: Sequence[bytes], number: int) -> list[Batch]:
        """Return a batch for each line that holds trades or rejects."""
        batches = []
        for at, line in enumerate(lines, number):
            if not line.strip():
                continue
            try:
                batch = self._line(line)
            except BadRecord as error:
                bad = reject(error.reason, f"line {at}: {error.detail}", line, self._venue)
                batch = Batch([], 0, [bad])
            if batch.trades or batch.rejects:
                batches.append(batch)
        return batches

    def _line(self, line: bytes) -> Batch:
        outer = decode_line(line)
        if outer.result:
            return self._page(outer.result)
        if not outer.frame:
            return self._message(line, outer, 0)
        received_us = _received(bytes(outer.received)) if outer.received else 0
        message = bytes(outer.frame)
        if message.startswith(b'"'):  # recorded as the text of the message, not as the message
            message = msgspec.json.decode(message, type=str).encode()
        return self._message(message, decode_line(message), received_us)

    def _message(self, message: bytes, head: "Line", received_us: int) -> Batch:
        if head.feed or head.event:
            parsed = parse_futures_message(message, self._venue, usd_quotes=self._usd_quotes)
        else:
            parsed = parse_spot_message(message, self._venue, usd_quotes=self._usd_quotes)
        rejects = [reject(bad.reason, bad.detail, bad.payload, bad.venue, bad.symbol) for bad in parsed.rejects]
        return Batch(parsed.trades, received_us, rejects)

    def _page(self, result: msgspec.Raw) -> Batch:
        try:
            pairs = _pairs.decode(result)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRecord("wrong_type", f"result of a REST page: {error}") from None
        trades: list[Trade] = []
        rejects: list[Reject] = []
        for pair, raw in pairs.items():
            if pair == "last":
                continue
            symbol = self._symbol or symbol_of_pair(pair) or ""
            if symbol.partition("/")[2] not in self._usd_quotes:
                raise BadRecord("unknown_quote", f"{pair[:32]!r} is not quoted in {', '.join(self._usd_quotes)}")
            for row in _raw_rows(raw):
                try:
                    trades.append(_rest_trade(row, self._venue, symbol))
                except BadRecord as error:
                    rejects.append(reject(error.reason, error.detail, bytes(row), self._venue, symbol))
        return Batch(trades, 0, rejects)


class Line(msgspec.Struct):
    """The keys by which a line of JSON is told apart."""

    received: msgspec.Raw = msgspec.Raw()
    frame: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    channel: msgspec.Raw = msgspec.Raw()
    method: msgspec.Raw = msgspec.Raw()
    feed: msgspec.Raw = msgspec.Raw()
    event: msgspec.Raw = msgspec.Raw()

    @property
    def known(self) -> bool:
        """Whether this is a line of a recording at all."""
        return bool(self.frame or self.result or self.channel or self.method or self.feed or self.event)


_line: Final = msgspec.json.Decoder(Line)
_pairs: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])
_cells: Final = msgspec.json.Decoder(list[msgspec.Raw])


def decode_line(line: bytes) -> Line:
    """Return which keys a line of JSON has. Raises :class:`BadRecord` where it is no JSON object."""
    try:
        return _line.decode(line)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None


def pair_of_page(line: Line) -> str | None:
    """Return the pair of a REST page, None where the line is none."""
    try:
        return next((pair for pair in _pairs.decode(line.result) if pair != "last"), None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


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


def _raw_rows(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _rows.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord("wrong_type", f"rows of a REST page: {error}") from None


def _rest_trade(row: msgspec.Raw, venue: str, symbol: str) -> Trade:
    """Return the trade of a row ``[price, volume, time, "b"|"s", "m"|"l", misc, trade_id]``."""
    try:
        cells = _cells.decode(row)
        if len(cells) < 7:
            raise BadRecord("missing_field", f"{len(cells)} cells, not 7")
        price, volume, side, trade_id = (
            msgspec.json.decode(cells[0], type=str),
            msgspec.json.decode(cells[1], type=str),
            msgspec.json.decode(cells[3], type=str),
            msgspec.json.decode(cells[6], type=int),
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord("wrong_type", str(error)) from None
    try:
        time_us = seconds_to_us(bytes(cells[2]).decode("latin-1"))
    except ValueError as error:
        raise BadRecord("bad_time", str(error)) from None
    if side not in _SIDES:
        raise BadRecord("bad_side", f"side is {side[:32]!r}")
    paid = parse_number(price, "price")
    quantity = parse_number(volume, "volume")
    return Trade(venue, symbol, trade_id, _SIDES[side], Kind.FILL, paid, quantity, time_us, SPOT_PRODUCT)


def _received(text: bytes) -> int:
    try:
        return seconds_to_us(text.decode("latin-1"))
    except ValueError as error:
        raise BadRecord("bad_time", f"received: {error}") from None
