"""One message of each malformed kind, and what the dead letters must say about it."""

import struct
import time
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from streams.kafka.unpacking import FIRST_BYTES, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES
from streams.model.frames import Frame, decode_frame, encode_frame
from streams.topics import ALERTS, TRADES
from tests.oracle import OracleTrade
from tests.recordings import Tape
from tests.wire import records


class Poison(NamedTuple):
    """A message that nobody can use. ``rows`` of it are refused, the others (``good``) must be counted.

    ``row`` is the refused row as its dead letter keeps it.
    """

    name: str
    value: bytes
    reason: str
    topic: str = TRADES
    rows: int = 0
    good: tuple[OracleTrade, ...] = ()
    row: bytes = b""

    @property
    def symbol(self) -> str:
        """The market that its dead letter names."""
        return BAD_ROWS if self.rows else ""

    @property
    def refused(self) -> bytes:
        """The bytes that its dead letter keeps."""
        if self.reason == "too_large":
            return self.value[:FIRST_BYTES]
        return self.row if self.rows else self.value


BAD_ROWS = "ADA/USD"
"""The market whose frames hold bad rows among good ones."""

SPOT_ROW: dict[str, Any] = {
    "symbol": "BTC/USD", "side": "buy", "price": 60000.1, "qty": 0.5, "ord_type": "limit", "trade_id": 77,
    "timestamp": "2025-10-09T08:53:30.000001Z",
}  # fmt: skip
FUTURES_ROW: dict[str, Any] = {
    "feed": "trade", "product_id": "PF_XBTUSD", "uid": "05af78ac-a774-478c-a50c-8b9c234e071e", "side": "sell",
    "type": "fill", "seq": 1, "time": 1760000010000, "qty": 0.5, "price": 60000.0,
}  # fmt: skip
FAR_SECONDS = 3600


def messages(seed: int, spot: str, now_us: int) -> Iterator[Poison]:
    """Yield the malformed messages; ``spot`` is the venue of the trades that share a frame with bad rows."""
    yield from _broken_json()
    yield from _wrong_rows()
    yield from _broken_frames(spot)
    yield from _bad_rows_in_frames(seed, spot, now_us)
    yield Poison("more than any frame holds", b"{" * (MAX_MESSAGE_BYTES + 1), "too_large")
    yield Poison("no alert", b'{"rule": "volume"}', "wrong_type", ALERTS)
    yield Poison("no alert at all", b"\x00\xff", "not_json", ALERTS)
    yield Poison("an alert without end", b'{"a":' * 5000, "not_json", ALERTS)


async def explode(address: str, partition: int = 0) -> int:
    """Send the topics of a worker a bomb in each way to pack one, and return how many."""
    sent = 0
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        async with AIOKafkaProducer(
            bootstrap_servers=address, compression_type=codec, max_request_size=2 * MAX_BATCH_BYTES
        ) as producer:
            for topic in (TRADES, ALERTS):
                await producer.send_and_wait(topic, bytes(MAX_BATCH_BYTES + 1), b"BTC/USD", partition)
                sent += 1
    return sent


def endless(seed: int, spot: str) -> Iterator[Poison]:
    """Yield the malformed messages in a random order, then again in another, with other good rows, without end."""
    for turn in count():
        doses = list(messages(seed + turn, spot, time.time_ns() // 1000))
        Random(seed + turn).shuffle(doses)
        yield from doses


def _broken_json() -> Iterator[Poison]:
    yield Poison("half an object", b'{"symbol": "BTC/USD", "side": ', "not_json")
    yield Poison("bytes that are no text", b'{"symbol": "\xff\xfe"}', "not_json")
    yield Poison("a list", b"[1, 2, 3]", "wrong_type")
    yield Poison("a text", b'"BTC/USD"', "wrong_type")
    yield Poison("braces to no end", b"{" * 5000, "not_json")


def _wrong_rows() -> Iterator[Poison]:
    def spot(**changes: Any) -> bytes:
        return msgspec.json.encode(SPOT_ROW | changes)

    def raw(field: str, text: bytes) -> bytes:
        return spot(**{field: "@"}).replace(b'"@"', text)

    yield Poison("no price", msgspec.json.encode({k: v for k, v in SPOT_ROW.items() if k != "price"}), "missing_field")
    yield Poison("a price as text", spot(price="60000.1"), "wrong_type")
    yield Poison("an id as text", spot(trade_id="77"), "wrong_type")
    yield Poison("a price that is no number", raw("price", b"NaN"), "bad_price")
    yield Poison("an infinite price", raw("price", b"Infinity"), "bad_price")
    yield Poison("a price of zero", spot(price=0), "bad_price")
    yield Poison("a negative price", spot(price=-1.5), "bad_price")
    yield Poison("an infinite quantity", raw("qty", b"-Infinity"), "bad_quantity")
    yield Poison("a quantity of zero", spot(qty=0), "bad_quantity")
    yield Poison("an absurd price", raw("price", b"1e300"), "magnitude")
    yield Poison("an exponent of a million", raw("qty", b"1e1000000"), "magnitude")
    yield Poison("an absurd notional", spot(price=1e8, qty=1e8), "magnitude")
    yield Poison("no side", spot(side="up"), "bad_side")
    yield Poison("no time", spot(timestamp="yesterday"), "bad_time")
    yield Poison("a time long before Bitcoin", spot(timestamp="1999-01-01T00:00:00Z"), "bad_time")
    yield Poison("a quote that is not USD", spot(symbol="BTC/EUR"), "unknown_quote")
    yield Poison("a futures side", msgspec.json.encode(FUTURES_ROW | {"side": "hold"}), "bad_side")
    yield Poison("a futures kind", msgspec.json.encode(FUTURES_ROW | {"type": ""}), "missing_field")
    yield Poison("a futures price", msgspec.json.encode(FUTURES_ROW | {"price": -1}), "bad_price")


def _broken_frames(spot: str) -> Iterator[Poison]:
    whole = encode_frame(spot, "ADA/USD", records(Tape(0, "ADA/USD", venue=spot).calm(20).trades[:5]), 1)
    frame = decode_frame(whole)
    yield Poison("nothing", b"", "not_a_frame")
    yield Poison("zeroes", bytes(64), "not_a_frame")
    yield Poison("lists to no end", b"\x91" * 5000, "not_a_frame")
    yield Poison("half a frame", whole[: len(whole) // 2], "not_a_frame")
    yield Poison("a frame of tomorrow", _frame(frame, version=9), "not_a_frame")
    yield Poison("columns of different lengths", _frame(frame, prices=frame.prices[:-8]), "not_a_frame")
    yield Poison("a frame without trades", _frame(frame, **dict.fromkeys(_COLUMNS, b"")), "not_a_frame")
    yield Poison("a venue without end", _frame(frame, venue="x" * 500), "not_a_frame")


def _bad_rows_in_frames(seed: int, spot: str, now_us: int) -> Iterator[Poison]:
    trades = Tape(seed, BAD_ROWS, venue=spot, price="0.7", tick="0.0001", size_usd=50).calm(60).trades
    spoils: list[tuple[str, str, dict[str, bytes]]] = [
        ("a price that is no number", "bad_price", {"prices": struct.pack("<d", float("nan"))}),
        ("an infinite price", "bad_price", {"prices": struct.pack("<d", float("inf"))}),
        ("a negative price", "bad_price", {"prices": struct.pack("<d", -1.0)}),
        ("no quantity", "bad_quantity", {"quantities": bytes(8), "fractions": bytes(8)}),
        ("a negative quantity", "bad_quantity", {"quantities": struct.pack("<q", -1)}),
        ("an absurd notional", "magnitude", {"notionals": struct.pack("<q", 2**62)}),
        ("a time before Bitcoin", "bad_time", {"times_us": struct.pack("<q", 1)}),
        ("a time far ahead", "future", {"times_us": struct.pack("<q", now_us + FAR_SECONDS * 1_000_000)}),
        ("flags that name no side", "bad_side", {"flags": b"\xff"}),
    ]
    size = len(trades) // len(spoils)
    for number, (name, reason, columns) in enumerate(spoils):
        part = trades[number * size : (number + 1) * size]
        frame = decode_frame(encode_frame(spot, BAD_ROWS, records(part), 1))
        bad = len(part) // 2
        widths = {column: len(getattr(frame, column)) // len(part) for column in columns}
        spoiled = {column: _put(getattr(frame, column), bad * widths[column], item) for column, item in columns.items()}
        good = (*part[:bad], *part[bad + 1 :])
        value = _frame(frame, **spoiled)
        yield Poison(f"{name}, among good rows", value, reason, rows=1, good=good, row=_row(value, bad))


_COLUMNS = ("ids", "times_us", "prices", "notionals", "rests", "quantities", "fractions", "flags")
FIRST_COLUMN = 4
_ITEMS = ("<q", "<q", "<d", "<q", "<i", "<q", "<q", "B")
_NAMES = ("id", "time_us", "price", "notional_micro_usd", "rest", "whole", "fraction", "flags")


def _row(value: bytes, at: int) -> bytes:
    """Return a row of a frame as its dead letter keeps it."""
    columns = msgspec.msgpack.decode(value)[FIRST_COLUMN : FIRST_COLUMN + len(_COLUMNS)]
    parts = zip(_NAMES, _ITEMS, columns, strict=True)
    row = {name: struct.unpack_from(item, column, at * struct.calcsize(item))[0] for name, item, column in parts}
    # JSON has no word for what is no number.
    return msgspec.json.encode(row | {"price": repr(row["price"])})


def _put(column: bytes, at: int, item: bytes) -> bytes:
    return column[:at] + item + column[at + len(item) :]


def _frame(frame: Frame, **changes: Any) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(frame, **changes))
