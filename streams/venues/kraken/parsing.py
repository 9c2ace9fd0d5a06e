"""What one message of Kraken's sockets holds, without any I/O.

Spot is WebSocket v2, futures is WebSocket v1. A message whose rows are all well formed is decoded in one step. Any
other is decoded row by row, so that a bad row costs only itself.
"""

from collections.abc import Callable

import msgspec

from streams.errors import BadRecord
from streams.model.trade import Reject, Trade
from streams.venues.base import Venue
from streams.venues.json_text import BAD_JSON, mark_constants, unmark
from streams.venues.kraken.answers import FuturesEvent, SpotAnswer, read_futures_event, read_spot_answer
from streams.venues.kraken.refusals import reject_of
from streams.venues.kraken.trade_rows import (
    futures_row_to_trade,
    futures_rows_to_trades,
    spot_row_to_trade,
    spot_rows_to_trades,
)
from streams.venues.parsed import Parsed


class _SpotEnvelope(SpotAnswer):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _SpotStatus(msgspec.Struct):
    system: str = ""


class _FuturesEnvelope(FuturesEvent):
    product_id: str = ""
    trades: msgspec.Raw = msgspec.Raw()


_spot_envelope = msgspec.json.Decoder(_SpotEnvelope)

_spot_statuses = msgspec.json.Decoder(list[_SpotStatus])

_futures_envelope = msgspec.json.Decoder(_FuturesEnvelope)

_raw_rows = msgspec.json.Decoder(list[msgspec.Raw])


def parse_spot_message(data: bytes, venue: Venue) -> Parsed:
    """Return what a spot v2 message holds. Never raises: what cannot be used comes back as rejects."""
    try:
        envelope = _spot_envelope.decode(data)
    except BAD_JSON as error:
        return _unreadable(data, venue, error, lambda text: parse_spot_message(text, venue))
    if envelope.channel == "trade":
        return _spot_trades(data, envelope, venue)
    if envelope.channel == "status":
        return Parsed(system=_system_of(envelope.data))
    if not (envelope.channel or envelope.method or envelope.error):
        return Parsed(rejects=[Reject("missing_field", "a message without channel or method", data, venue.name)])
    return read_spot_answer(envelope)


def parse_futures_message(data: bytes, venue: Venue) -> Parsed:
    """Return what a futures v1 message holds. Never raises: what cannot be used comes back as rejects.

    Snapshots arrive newest first and are returned in time order.
    """
    try:
        envelope = _futures_envelope.decode(data)
    except BAD_JSON as error:
        return _unreadable(data, venue, error, lambda text: parse_futures_message(text, venue))
    if envelope.event:
        return read_futures_event(envelope)
    if envelope.feed == "trade":
        return _rows([data], venue, lambda row: futures_row_to_trade(row, venue))
    if envelope.feed == "trade_snapshot":
        return _futures_snapshot(data, envelope, venue)
    if not envelope.feed:
        return Parsed(rejects=[Reject("missing_field", "a message without event or feed", data, venue.name)])
    return Parsed()


def _spot_trades(data: bytes, envelope: _SpotEnvelope, venue: Venue) -> Parsed:
    if not envelope.data:
        return Parsed(rejects=[Reject("missing_field", "data is missing", data, venue.name)])
    is_snapshot = envelope.type == "snapshot"
    try:
        trades = spot_rows_to_trades(envelope.data, venue, is_snapshot=is_snapshot)
        parsed = Parsed(trades, is_snapshot=is_snapshot)
    except BadRecord:
        parsed = _split(
            data,
            envelope.data,
            venue,
            lambda row: spot_row_to_trade(row, venue, is_snapshot=is_snapshot),
            is_snapshot=is_snapshot,
        )
    return parsed


def _futures_snapshot(data: bytes, envelope: _FuturesEnvelope, venue: Venue) -> Parsed:
    if not envelope.trades:
        return Parsed(rejects=[Reject("missing_field", "trades is missing", data, venue.name)])
    product_id = envelope.product_id
    try:
        trades = futures_rows_to_trades(envelope.trades, venue, product_id=product_id, is_snapshot=True)
        parsed = Parsed(trades, is_snapshot=True)
    except BadRecord:
        parsed = _split(
            data,
            envelope.trades,
            venue,
            lambda row: futures_row_to_trade(row, venue, product_id=product_id, is_snapshot=True),
            is_snapshot=True,
        )
    parsed.trades.reverse()
    parsed.trades.sort(key=lambda trade: trade.time_us)
    return parsed


def _split(
    data: bytes, array: msgspec.Raw, venue: Venue, to_trade: Callable[[bytes], Trade], *, is_snapshot: bool
) -> Parsed:
    try:
        raws = _raw_rows.decode(array)
    except BAD_JSON:
        return Parsed(rejects=[Reject("wrong_type", "the rows are not a list", data, venue.name)])
    return _rows([bytes(raw) for raw in raws], venue, to_trade, is_snapshot=is_snapshot)


def _rows(rows: list[bytes], venue: Venue, to_trade: Callable[[bytes], Trade], *, is_snapshot: bool = False) -> Parsed:
    trades: list[Trade] = []
    rejects: list[Reject] = []
    for row in rows:
        try:
            trades.append(to_trade(row))
        except BadRecord as error:
            rejects.append(reject_of(error, row, venue.name))
    return Parsed(trades, rejects, is_snapshot)


def _unreadable(data: bytes, venue: Venue, error: Exception, again: Callable[[bytes], Parsed]) -> Parsed:
    if isinstance(error, msgspec.ValidationError):
        return Parsed(rejects=[Reject("wrong_type", str(error), data, venue.name)])
    marked = mark_constants(data)
    if marked != data:
        return again(marked)
    return Parsed(rejects=[Reject("not_json", str(error), unmark(data), venue.name)])


def _system_of(data: msgspec.Raw) -> str:
    try:
        statuses = _spot_statuses.decode(data)
    except BAD_JSON:
        return ""
    return statuses[0].system if statuses else ""
