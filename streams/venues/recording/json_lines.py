"""What lines of JSON in a recording mean: pages of Kraken's REST call ``Trades``, and socket messages of any venue.

No I/O: lines go in, batches come out. A row that cannot be used becomes a reject with its bytes; no other row is lost.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streams.errors import BadRecord
from streams.model.kinds import MAX_NAME
from streams.model.products import Product
from streams.model.trade import Batch, Kind, Reject, Trade
from streams.venues.asking import message_of, product_of
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON
from streams.venues.recording.lines import SIDES, parse_number, reject, seconds_to_us
from streams.venues.recording.names import symbol_of_pair

Keys = dict[str, msgspec.Raw]
"""An object of JSON whose values nobody has looked at yet."""


class JsonFormat:
    """Lines of JSON: REST pages, bare socket messages, or ``{"received": unix seconds, "frame": message}``.

    Messages of all venues may be mixed. Beside ``frame``, a key ``venue`` names the venue of a message. Any other
    message goes to the venue that recognises the most of its keys; of two that recognise as many, to the first.

    ``venues`` are the venues by their own names, each called as the recording is. ``symbol``, where given, names the
    market of REST pages.
    """

    def __init__(self, name: str, venues: Mapping[str, Venue], symbol: str | None) -> None:
        self._name = name
        self._venues = venues
        self._symbol = symbol

    def knows(self, keys: Keys) -> bool:
        """Whether a line with these keys belongs into a recording at all."""
        return "frame" in keys or is_page(keys) or self._venue_of(keys) is not None

    def read(self, lines: Sequence[bytes], number: int) -> list[Batch]:
        """Return a batch for each line that holds trades or rejects."""
        batches = []
        for at, line in enumerate(lines, number):
            if not line.strip():
                continue
            try:
                batch = self._line(line)
            except BadRecord as error:
                bad = reject(error.reason, f"line {at}: {error.detail}", line, self._name)
                batch = Batch([], 0, [bad])
            if batch.trades or batch.rejects:
                batches.append(batch)
        return batches

    def _line(self, line: bytes) -> Batch:
        keys = decode_keys(line)
        if is_page(keys):
            return self._page(keys["result"])
        if "frame" not in keys:
            return self._message(line, self._venue_of(keys), 0)
        received_us = _received(bytes(keys["received"])) if "received" in keys else 0
        message = bytes(keys["frame"])
        if message.startswith(b'"'):  # recorded as the text of the message, not as the message
            message = _text(message)
        venue = self._named(keys["venue"]) if "venue" in keys else self._venue_of(decode_keys(message))
        return self._message(message, venue, received_us)

    def _named(self, name: msgspec.Raw) -> Venue:
        try:
            text = msgspec.json.decode(name, type=str)
        except BAD_JSON as error:
            raise BadRecord("wrong_type", f"venue: {error}") from None
        venue = self._venues.get(text)
        if venue is None:
            raise BadRecord(
                "unknown_venue", f"no venue {text[:MAX_NAME]!r} is known here, only {', '.join(self._venues)}"
            )
        return venue

    def _venue_of(self, keys: Keys) -> Venue | None:
        def recognised(venue: Venue) -> int:
            return sum(field in keys for field in venue.message_fields)

        best = max(self._venues.values(), key=recognised)
        return best if recognised(best) else None

    def _message(self, message: bytes, venue: Venue | None, received_us: int) -> Batch:
        if venue is None:
            known = "; ".join(f"{name}: {', '.join(one.message_fields)}" for name, one in self._venues.items())
            raise BadRecord("missing_field", f"no venue has messages without all of these keys ({known})")
        parsed = message_of(venue, message)
        rejects = [reject(bad.reason, bad.detail, bad.payload, bad.venue, bad.symbol) for bad in parsed.rejects]
        return Batch(parsed.trades, received_us, rejects)

    def _page(self, result: msgspec.Raw) -> Batch:
        try:
            pairs = _keys.decode(result)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRecord("wrong_type", f"result of a REST page: {error}") from None
        trades: list[Trade] = []
        rejects: list[Reject] = []
        for pair, raw in pairs.items():
            if pair == "last":
                continue
            symbol = self._symbol or symbol_of_pair(pair) or pair
            product = product_in(self._venues, symbol)
            for row in _raw_rows(raw):
                try:
                    trades.append(_rest_trade(row, self._name, symbol, product))
                except BadRecord as error:
                    rejects.append(reject(error.reason, error.detail, bytes(row), self._name, symbol))
        return Batch(trades, 0, rejects)


def product_in(venues: Mapping[str, Venue], symbol: str) -> Product:
    """Return what trades of a symbol are, as the first venue says that counts it.

    Raises :class:`BadRecord` with what each of them says where none does.
    """
    refusals = []
    for name, venue in venues.items():
        try:
            return product_of(venue, symbol)
        except BadRecord as error:
            refusals.append(f"{name}: {error.detail}")
    raise BadRecord("unknown_quote", "; ".join(refusals))


def _text(quoted: bytes) -> bytes:
    try:
        return msgspec.json.decode(quoted, type=str).encode()
    except BAD_JSON as error:
        raise BadRecord("not_json", f"frame: {error}") from None


_keys: Final = msgspec.json.Decoder(Keys)
_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])
_cells: Final = msgspec.json.Decoder(list[msgspec.Raw])


def decode_keys(line: bytes) -> Keys:
    """Return the keys of a line of JSON with their values unread. Raises :class:`BadRecord` if it is no JSON object."""
    try:
        return _keys.decode(line)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None


def is_page(keys: Keys) -> bool:
    """Whether these are the keys of a REST answer; a socket's answer to a request has a result too, and a method."""
    return "result" in keys and "method" not in keys


def pair_of_page(keys: Keys) -> str | None:
    """Return the pair of a REST page, None where it names none."""
    try:
        return next((pair for pair in _keys.decode(keys["result"]) if pair != "last"), None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _raw_rows(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _rows.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord("wrong_type", f"rows of a REST page: {error}") from None


def _rest_trade(row: msgspec.Raw, venue: str, symbol: str, product: Product) -> Trade:
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
    if side not in SIDES:
        raise BadRecord("bad_side", f"side is {side[:32]!r}")
    paid = parse_number(price, "price")
    quantity = parse_number(volume, "volume")
    return Trade(venue, symbol, trade_id, SIDES[side], Kind.FILL, paid, quantity, time_us, product)


def _received(text: bytes) -> int:
    try:
        return seconds_to_us(text.decode("latin-1"))
    except ValueError as error:
        raise BadRecord("bad_time", f"received: {error}") from None
