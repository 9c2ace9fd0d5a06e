"""Pages of Kraken's REST calls as trades: ``Trades`` of spot, ``history`` of futures. No I/O.

A page holds a few hundred rows; their trades come oldest first, whichever way the page has them.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from streams.errors import BadRecord, BadRecording
from streams.model.trade import Batch, Kind, Reject, Trade
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON
from streams.venues.kraken.trade_rows import futures_row_to_trade
from streams.venues.recording.lines import OWN_IDS, SIDES, parse_number, reject
from streams.venues.recording.markets import Market, Markets
from streams.venues.recording.names import symbol_of_pair
from streams.venues.recording.page_columns import plain_page
from streams.venues.recording.times import date_to_us, seconds_to_us

Keys = dict[str, msgspec.Raw]
"""An object of JSON whose values nobody has looked at yet."""

HISTORY: Final = "history"
_ID_AT: Final = 6
# Rows of the call OHLC: time, open, high, low, close, vwap, volume, count.
_CANDLE_CELLS: Final = 8

_keys: Final = msgspec.json.Decoder(Keys)
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_text: Final = msgspec.json.Decoder(str)
_whole: Final = msgspec.json.Decoder(int)


class Pages:
    """Reads pages. ``market`` is that of all rows, where it was given or the file's name tells it.

    ``numbered`` says that rows have no identity of their own. Then their ids count on from ``ids_before``. In a file
    with ids, a row without one gets an id that no venue gives.
    """

    def __init__(self, name: str, markets: Markets, market: Market | None, *, numbered: bool, ids_before: int) -> None:
        self._name = name
        self._markets = markets
        self._market = market
        self._numbered = numbered
        self._made = ids_before

    def read(self, keys: Keys, *, together: bool = False) -> Batch:
        """Return what a page holds. Raises :class:`BadRecord` for one of which nothing can be used.

        With ``together`` it comes in columns, where it holds plain rows of one market.
        """
        trades: list[Trade] = []
        rejects: list[Reject] = []
        if HISTORY in keys:
            if self._market is None:
                raise BadRecord("unknown_quote", "a page of futures history names no market")
            symbol = self._market[0]
            venue = self._markets.venue_of(symbol)
            rows = _oldest_first(rows_of(keys[HISTORY]), _time_of_history)
            self._rows(rows, lambda row: self._history_trade(row, venue, symbol), symbol, trades, rejects)
        else:
            pages = {pair: raw for pair, raw in _decoded(keys["result"]).items() if pair != "last"}
            for pair, raw in pages.items():
                market = self._market or self._markets.exactly(symbol_of_pair(pair) or pair)
                if together and len(pages) == 1 and not self._numbered:
                    plain = plain_page(self._name, market, raw, partial(self._trade, market=market))
                    if plain is not None:
                        return Batch(plain, 0)
                rows = _oldest_first(rows_of(raw), _time_of_trade)
                self._rows(rows, partial(self._trade, market=market), market[0], trades, rejects)
        return Batch(trades, 0, rejects)

    def _rows(
        self,
        rows: Sequence[msgspec.Raw],
        read: Callable[[msgspec.Raw], Trade],
        symbol: str,
        trades: list[Trade],
        rejects: list[Reject],
    ) -> None:
        for row in rows:
            try:
                trades.append(read(row))
            except BadRecord as error:
                rejects.append(reject(error.reason, error.detail, bytes(row), self._name, symbol))

    def _trade(self, row: msgspec.Raw, market: Market) -> Trade:
        """Return the trade of a row ``[price, volume, time, "b"|"s", "m"|"l", misc, trade_id]``.

        Old pages have no ``trade_id``.
        """
        try:
            cells = _list.decode(row)
            if len(cells) < _ID_AT:
                raise BadRecord("missing_field", f"{len(cells)} cells, not 7")
            price, volume, side = _text.decode(cells[0]), _text.decode(cells[1]), _text.decode(cells[3])
            trade_id = _whole.decode(cells[_ID_AT]) if len(cells) > _ID_AT else 0
        except BAD_JSON as error:
            raise BadRecord("wrong_type", str(error)) from None
        try:
            time_us = seconds_to_us(bytes(cells[2]).decode("latin-1"))
        except ValueError as error:
            raise BadRecord("bad_time", str(error)) from None
        if side not in SIDES:
            raise BadRecord("bad_side", f"side is {side[:32]!r}")
        paid, quantity = parse_number(price, "price"), parse_number(volume, "volume")
        symbol, product = market
        trade = Trade(self._name, symbol, trade_id, SIDES[side], Kind.FILL, paid, quantity, time_us, product)
        if trade_id and not self._numbered:
            return trade
        return msgspec.structs.replace(trade, trade_id=self._next_id())

    def _history_trade(self, row: msgspec.Raw, venue: Venue, symbol: str) -> Trade:
        """Return the trade of a row of futures history: that of the socket, with its size and time named otherwise."""
        keys = _decoded(row)
        missing = next((name for name in ("time", "price", "size", "side") if name not in keys), None)
        if missing is not None:
            raise BadRecord("missing_field", f"{missing} is missing")
        try:
            time_us = date_to_us(msgspec.json.decode(keys["time"], type=str))
        except BAD_JSON as error:
            raise BadRecord("bad_time", str(error)) from None
        uid = None if self._numbered else keys.get("uid")
        message = {
            "uid": str(UUID(int=self._next_id())) if uid is None else uid,
            "side": keys["side"],
            "type": keys.get("type", "fill"),
            "time": time_us // 1000,
            "qty": keys["size"],
            "price": keys["price"],
            "product_id": symbol,
        }
        return futures_row_to_trade(msgspec.json.encode(message), venue)

    def _next_id(self) -> int:
        self._made += 1
        return self._made if self._numbered else OWN_IDS + self._made


def is_page(keys: Keys) -> bool:
    """Whether these are the keys of a REST answer; a socket's answer to a request has a result too, and a method."""
    return "result" in keys and "method" not in keys


def rows_of(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the rows of a page, unread. Raises :class:`BadRecord`."""
    try:
        return _list.decode(raw)
    except BAD_JSON as error:
        raise BadRecord("wrong_type", f"rows of a REST page: {error}") from None


def pair_of_page(keys: Keys) -> str | None:
    """Return the pair of a REST page, None where it names none."""
    try:
        return next((pair for pair in _keys.decode(keys["result"]) if pair != "last"), None)
    except BAD_JSON:
        return None


def has_ids(keys: Keys) -> bool:
    """Whether any row of a page has an identity of its own; 0 is none, since every row of some exports has it."""
    try:
        if HISTORY in keys:
            return any("uid" in _decoded(row) for row in rows_of(keys[HISTORY]))
        pages = _decoded(keys["result"])
        rows = [_list.decode(row) for pair, page in pages.items() if pair != "last" for row in rows_of(page)]
        return any(len(cells) > _ID_AT and bytes(cells[_ID_AT]).strip() != b"0" for cells in rows)
    except (BadRecord, *BAD_JSON):
        return True


def refuse_other_answers(label: str, keys: Keys) -> None:
    """Raise :class:`BadRecording` for answers of other REST calls, by the name of what was found."""
    what = None
    if "elements" in keys:
        what = (
            "Kraken's futures executions, which do not say which of them are liquidations: "
            "give the answers of /derivatives/api/v3/history instead"
        )
    elif "candles" in keys:
        what = "candles of futures, which are no trades: give the answers of /derivatives/api/v3/history instead"
    elif is_page(keys) and HISTORY not in keys:
        if bytes(keys.get("error", msgspec.Raw(b"[]"))).strip() not in (b"[]", b"null"):
            said = bytes(keys["error"])[:100].decode(errors="replace")
            what = f"an error of Kraken's REST interface, {said}: fetch it again"
        elif _are_candles(keys):
            what = "a page of the REST call OHLC, whose candles are no trades: give pages of the call Trades instead"
    if what is not None:
        raise BadRecording(f"recording {label} is {what}")


def _are_candles(keys: Keys) -> bool:
    try:
        pages = [page for pair, page in _keys.decode(keys["result"]).items() if pair != "last"]
        cells = _list.decode(_list.decode(pages[0])[0])
    except (IndexError, *BAD_JSON):
        return False
    return len(cells) == _CANDLE_CELLS and bytes(cells[0]).isdigit()


def _oldest_first(rows: list[msgspec.Raw], time_of: Callable[[msgspec.Raw], float]) -> list[msgspec.Raw]:
    def first_known(some: Iterable[msgspec.Raw]) -> float:
        for row in some:
            # What is wrong with a row is said where it is read.
            with suppress(LookupError, ArithmeticError, BadRecord, *BAD_JSON):
                return time_of(row)
        return 0

    return rows[::-1] if first_known(rows) > first_known(reversed(rows)) else rows


def _time_of_trade(row: msgspec.Raw) -> float:
    return float(bytes(_list.decode(row)[2]))


def _time_of_history(row: msgspec.Raw) -> float:
    return date_to_us(msgspec.json.decode(_decoded(row)["time"], type=str))


def _decoded(raw: msgspec.Raw) -> Keys:
    try:
        return _keys.decode(raw)
    except BAD_JSON as error:
        raise BadRecord("wrong_type", f"no object of JSON: {error}") from None
