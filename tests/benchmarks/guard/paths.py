"""The hot path in pieces, each with input of its own: decode, fold, flush, and the producer's frames. No I/O.

A piece is made anew for each measurement, so that state does not grow from one to the next.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from random import Random
from typing import Final, NamedTuple

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import decode
from agents.rules.book import rule_book
from streams.model.frames import encode_frame
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.venues.json_rows import RowReader
from streams.venues.kraken.products import SPOT_PRODUCT
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from tables.market.span import Span
from tables.market.state import Market
from tests.benchmarks.bench.feed import json_row
from tests.benchmarks.inner import InnerWorker, finish, messages_of

VENUE: Final = "bench"
START_SECONDS: Final = 1_700_000_000
MARKETS: Final = 20
ROWS: Final = 400
TRADES: Final = 4000
DECODED: Final = 20
"""How often each frame is decoded: once takes microseconds, which no clock tells apart well."""


class Piece(NamedTuple):
    """A piece of the path: what runs, and how many trades that is."""

    run: Callable[[], object]
    trades: int


@cache
def _trades(size: int, *, per_second: int) -> list[Trade]:
    random = Random(size)
    return [
        Trade(
            VENUE,
            "M/USD",
            number + 1,
            Side(1 + random.randrange(2)),
            Kind.FILL,
            Decimal(random.randrange(100_000, 110_000)).scaleb(-1),
            Decimal(random.randrange(1, 10**6)).scaleb(-8),
            START_SECONDS * 1_000_000 + number * 1_000_000 // per_second,
            SPOT_PRODUCT,
        )
        for number in range(size)
    ]


@cache
def _frames(size: int, *, per_second: int = 100) -> list[bytes]:
    trades = _trades(TRADES, per_second=per_second)
    return [
        encode_frame(VENUE, "M/USD", trades[at : at + size], START_SECONDS * 1_000_000) for at in range(0, TRADES, size)
    ]


@cache
def _rows(markets: int, start: int, count: int, per_second: int = 1000) -> list[bytes]:
    random = Random(start)
    made = []
    for number in range(start, start + count):
        cents, units = random.randrange(10_000, 11_000), random.randrange(1, 10**8)
        time_us = START_SECONDS * 1_000_000 + number * 1_000_000 // per_second
        row = json_row(f"M{number % markets}/USD", number // markets + 1, time_us, cents, units, is_buy=number % 3 == 0)
        made.append(row.encode())
    return made


def decode_rows() -> Piece:
    """Rows of a bundle, read together."""
    reader, rows = PlainReader(make_venues(load_settings())), _rows(MARKETS, 0, ROWS)
    return Piece(lambda: reader.read(rows), ROWS)


def decode_frames(size: int) -> Piece:
    """Frames, read one by one."""
    messages, rows = messages_of(_frames(size)) * DECODED, RowReader(make_venues(load_settings()))

    def run() -> None:
        for message in messages:
            decode(message, rows)

    return Piece(run, TRADES * DECODED)


def fold_frames(size: int, kind: type[Evaluator] = Evaluator) -> Piece:
    """Decoded frames counted into a market's panes and judged, by an evaluator of some kind."""
    settings = load_settings()
    rows, span = RowReader(make_venues(settings)), Span(settings.window_seconds, settings.retention_seconds)
    evaluator = kind(rule_book(settings), window=span.window, cooldown=300, max_future_us=60_000_000)
    market = Market(VENUE, "M/USD", span)
    decoded = [decode(message, rows) for message in messages_of(_frames(size))]

    def run() -> None:
        for offset, trades in enumerate(decoded):
            done = 0
            while done < len(trades):
                outcome = evaluator.fold(
                    market, trades, message_us=2 * START_SECONDS * 1_000_000, partition=0, offset=offset, start=done
                )
                done = outcome.done
                market.flushed_watermark = market.watermark

    return Piece(run, TRADES)


def rows_of(markets: int, per_second: int = 1000) -> Piece:
    """A second bundle of rows, read, counted and judged; the first has brought its markets into memory.

    All markets together trade so often a second of event time.
    """
    worker = InnerWorker()

    async def prepare() -> None:
        await worker.handle(messages_of(_rows(markets, 0, ROWS, per_second)))
        await worker.flush()

    asyncio.run(prepare())
    messages = messages_of(_rows(markets, ROWS, ROWS, per_second))
    return Piece(lambda: finish(worker.handle(messages)), ROWS)


def flush() -> Piece:
    """What changed in markets becomes records; every pane is of a trade."""
    worker = InnerWorker()
    asyncio.run(worker.handle(messages_of(_rows(MARKETS, 0, ROWS))))
    return Piece(lambda: asyncio.run(worker.flush()), ROWS)


def encode_frames(size: int) -> Piece:
    """The producer's frames of trades as venues give them."""
    trades = _trades(TRADES, per_second=100)

    def run() -> None:
        for at in range(0, TRADES, size):
            encode_frame(VENUE, "M/USD", trades[at : at + size], START_SECONDS * 1_000_000)

    return Piece(run, TRADES)


PATHS: Final[Mapping[str, Callable[[], Piece]]] = {
    "decode rows": decode_rows,
    "decode frames of 20": lambda: decode_frames(20),
    "decode frames of 1000": lambda: decode_frames(1000),
    "count rows of 10 markets": lambda: rows_of(10),
    "count rows of 400 markets": lambda: rows_of(400),
    "count rows of 20 markets, each of another second": lambda: rows_of(MARKETS, per_second=MARKETS),
    "fold frames of 20": lambda: fold_frames(20),
    "fold frames of 1000": lambda: fold_frames(1000),
    "flush": flush,
    "encode frames of 20": lambda: encode_frames(20),
}
