"""The content of the samples, and what this release writes of it."""

import json
import sys
from base64 import b64encode
from decimal import Decimal
from typing import Any
from unittest import mock

import msgspec

from agents.counting.monitor import alert_record
from streams import keys
from streams.model import deadletters
from streams.model.alert import Alert
from streams.model.deadletters import DeadLetter
from streams.model.frames import encode_frame
from streams.model.trade import Kind, Side, Trade
from tables.live import LiveWindows
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import Head, chunk_key, encode, head_key
from tables.market.coverage import covering
from tables.market.episodes import Mark
from tables.market.formats import Tail
from tables.market.panes import Pane
from tables.market.rolling import Rolling
from tables.market.span import Span
from tables.market.state import Market
from tables.serving import LatestAlert, ServedMarkets
from tests.kraken import product_of
from tests.worker import WINDOWS, MemoryWorker

NOON = 1_700_000_000
SPAN = Span(window=300, retention=3600)
PACKED_OFFSET = 8
"""Bytes before a value in Redis: its source offset, big endian."""


def _trade(
    number: int, second: float, side: Side, price: str, quantity: str, kind: Kind = Kind.FILL, word: str = ""
) -> Trade:
    symbol = "BTC/USD" if number < 2**63 else "PF_XBTUSD"
    return Trade(
        venue="kraken_spot" if symbol == "BTC/USD" else "kraken_futures",
        symbol=symbol,
        trade_id=number,
        side=side,
        kind=kind,
        price=Decimal(price),
        quantity=Decimal(quantity),
        time_us=round((NOON + second) * 1_000_000),
        product=product_of(symbol),
        is_snapshot=second < 0,
        word=word,
    )


SPOT_TRADES = [
    _trade(72_000_001, -1.5, Side.SELL, "37012.3", "0.00000001"),
    _trade(72_000_002, 0, Side.BUY, "37012.4", "1.23456789"),
    _trade(72_000_003, 0.000001, Side.UNKNOWN, "0.00000123", "98765432109.87654321"),
]
UID = 0x05AF78AC_A774_478C_A50C_8B9C234E071E
FUTURES_TRADES = [
    _trade(UID, -1, Side.BUY, "37010.5", "0.5"),
    _trade(UID + 1, 1, Side.SELL, "36999", "2.5", Kind.LIQUIDATION),
    _trade(2**128 - 1, 2.25, Side.BUY, "37000", "100", Kind.BLOCK),
    _trade(2**127, 3, Side.SELL, "37000.5", "0.001", Kind.TERMINATION),
]
OTHER_TRADES = [
    _trade(UID, 0, Side.BUY, "37010.5", "0.5"),
    _trade(UID + 1, 1, Side.SELL, "36999", "2.5", Kind.BLOCK, "assignment"),
    _trade(UID + 2, 2, Side.BUY, "37000", "100", Kind.BLOCK, "something new"),
    _trade(UID + 3, 3, Side.SELL, "37000.5", "0.001", Kind.BLOCK),
]
"""Trades of kinds that the flags cannot hold, beside some that they can."""
OTHER_WORDS = ["", "assignment", "something new", ""]
SPOT_ROW = (
    b'{"symbol":"BTC/USD","side":"buy","price":60000.1,"qty":0.50000001,"ord_type":"limit","trade_id":77,'
    b'"timestamp":"2025-10-09T08:53:30.000001Z"}'
)
FUTURES_ROW = (
    b'{"feed":"trade","product_id":"PF_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
    b'"type":"liquidation","seq":1,"time":1760000010000,"qty":0.5,"price":60000.0}'
)
OTHER_ROW = FUTURES_ROW.replace(b"liquidation", b"assignment")
"""JSON rows as a publisher sends them: nothing here writes them."""

SPOT_PANE = Pane(
    ids=[72_000_001, 72_000_005, 72_000_007, 72_000_007],
    count=6,
    notional=2**61,
    rest=-499_999_999,
    whole=2**60 + 1,
    fraction=99_999_999_999_999,
    buy=5,
    sell=7,
    largest=107_250_000_000,
    high=37_012.4,
    low=36_999.95,
    first_us=NOON * 10**6,
    first_id=72_000_001,
    first_price=37_000.1,
    last_us=NOON * 10**6 + 999_999,
    last_id=72_000_007,
    last_price=37_001.3,
)
FUTURES_PANE = Pane(
    ids=[UID.to_bytes(16, "big"), b"\xff" * 16],
    count=2,
    notional=11,
    rest=-1,
    fraction=1,
    sell=11,
    long_liquidated=11,
    largest=9,
    high=1.5,
    low=1.25,
    first_us=NOON * 10**6,
    first_id=UID.to_bytes(16, "big"),
    first_price=1.25,
    last_us=NOON * 10**6 + 1,
    last_id=b"\xff" * 16,
    last_price=1.5,
)
ONLY_IDS = Pane([5, 5])
"""A pane that holds a block and nothing else."""

CHUNK_NUMBER = NOON // CHUNK_PANES


def _panes(*some: Pane) -> list[Pane | None]:
    return [*some, *[None] * (CHUNK_PANES - len(some) - 1), some[0]]


SPOT_CHUNK = Chunk(2**40 + 7, CHUNK_NUMBER, _panes(SPOT_PANE, ONLY_IDS))
FUTURES_CHUNK = Chunk(-1, CHUNK_NUMBER + 1, _panes(FUTURES_PANE))
SPOT_HEAD = Head(
    2**40 + 7,
    CHUNK_NUMBER * CHUNK_PANES + 31,
    {"volume": [Mark(NOON - 40, 1, NOON - 40), Mark(NOON - 8, 4, NOON - 40)], "liquidation": []},
    [CHUNK_NUMBER - 1, CHUNK_NUMBER],
)
NEW_HEAD = Head(-1, -1, {})
_ALERT: dict[str, Any] = dict(  # noqa: C408 - as the record's fields are written
    rule="volume", venue="kraken_spot", symbol="BTC/USD", pane=NOON, severity="MEDIUM",
    threshold_micro_usd=1_000_000_000_000, episode=NOON - 40, window_seconds=300, window_start=NOON - 299,
    window_end=NOON + 1, count=469, total_volume_micro_usd=2_023_806_241_207, buy_volume_micro_usd=523_806_241_207,
    sell_volume_micro_usd=1_500_000_000_000, liquidation_volume_micro_usd=3, liquidation_long_micro_usd=2,
    liquidation_short_micro_usd=1, largest_trade_micro_usd=107_250_000_000, vwap=10705.537729348083,
    price_change_pct=-1.493853753, realized_volatility=0.0123, first_price=10_800.0, last_price=10_638.7,
    high=10_810.5, low=10_600.1, received_us=NOON * 10**6 + 5, partition=2, offset=41,
)  # fmt: skip
ALERT = Alert(**_ALERT)
LETTER = DeadLetter(
    reason="bad_price", detail="row 1: price must be a positive number, not nan", payload=b"\x00\xff{", origin="worker",
    venue="kraken_spot", symbol="BTC/USD", topic="trades", partition=3, offset=2**40, refused_us=NOON * 10**6,
)  # fmt: skip
PRODUCERS_LETTER = DeadLetter("not_json", "half an object", b"{", "producer")
TABLE_ITEMS = {
    head_key("kraken_spot", "BTC/USD"): encode(SPOT_HEAD),
    chunk_key("kraken_spot", "BTC/USD", CHUNK_NUMBER % SPAN.slots): encode(SPOT_CHUNK),
    chunk_key("kraken_spot", "BTC/USD", (CHUNK_NUMBER + 1) % SPAN.slots): encode(FUTURES_CHUNK),
}
"""A market's state, as it is in the changelog and in RocksDB."""


LATEST_ALERT = LatestAlert("volume", NOON - 8, "CRITICAL", NOON - 40, open=True)
"""What :data:`SPOT_HEAD` says of the rule ``volume``."""


def live_window() -> dict[str, str]:
    """Return a market's live windows as Redis holds them, but for what the script adds: partition and offset."""
    market = Market("kraken_spot", "BTC/USD", SPAN)
    for number, price in ((NOON - 100, 37_000.1), (NOON, 37_001.3)):
        pane = market.open_pane(number)
        assert pane is not None
        pane.add_trade(number, number * 10**6, price, 5_000_000, 1, 1, 2, Side.BUY, False)
        market.counted(number, pane, 5_000_000, 0)
    market.received_us = NOON * 10**6 + 123_456
    market.marks = SPOT_HEAD.marks
    with mock.patch("time.time", return_value=NOON + 0.5):
        fields = LiveWindows(None, ServedMarkets(MemoryWorker()))._fields(Rolling(market, WINDOWS))
    return {str(name): str(value) for name, value in zip(fields[::2], fields[1::2], strict=True)}


SINCE_HEAD = Head(41, NOON, {}, [NOON // CHUNK_PANES], Tail(covering(NOON - 100, 4200)))
"""What a head adds: the first pane that was counted, and how many panes were kept."""


def added() -> dict[str, bytes]:
    """Return what this release writes beyond :func:`written`, within the same version, by name."""
    return {
        "frame of trades of other kinds": encode_frame("kraken_futures", "PF_XBTUSD", OTHER_TRADES, NOON * 10**6 + 9),
        "head of a market that says since when it counts": encode(SINCE_HEAD),
    }


def written() -> dict[str, bytes]:
    """Return what this release writes of the content, by name."""
    return {
        "frame of spot trades": encode_frame("kraken_spot", "BTC/USD", SPOT_TRADES, NOON * 10**6 + 9),
        "frame of futures trades": encode_frame("kraken_futures", "PF_XBTUSD", FUTURES_TRADES, 0),
        "alert": alert_record(ALERT).value,
        "dead letter of a worker": deadletters.encode(LETTER),
        "dead letter of a producer": deadletters.encode(PRODUCERS_LETTER),
        "chunk of a spot market": encode(SPOT_CHUNK),
        "chunk of a futures market": encode(FUTURES_CHUNK),
        "head": encode(SPOT_HEAD),
        "head of a new market": encode(NEW_HEAD),
        "changelog": msgspec.json.encode([[key.decode(), value] for key, value in TABLE_ITEMS.items()]),
        "live window": msgspec.json.encode(live_window()),
        "keys of redis": "\n".join(
            (
                keys.published_ids("cluster", "kraken_spot", "BTC/USD", 3),
                keys.published_uids("cluster", "kraken_futures", "PF_XBTUSD", 5),
                keys.window("kraken_spot", "BTC/USD"),
                keys.windows_of(2),
                keys.table_meta("app", "panes", 2),
                keys.table_markets("app", "panes", 2),
                keys.table_market("app", "panes", 2, "kraken_spot|BTC/USD"),
            )
        ).encode(),
    }


if __name__ == "__main__":
    chosen = added() if "added" in sys.argv[1:] else written()
    json.dump({name: b64encode(value).decode() for name, value in chosen.items()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
