"""What a venue cannot read costs that record and nothing else, whatever the venue's own code raises for it."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.errors import BadRecord, BadSetting, Outage
from streams.model.products import Product
from streams.model.trade import Trade
from streams.settings import load_settings
from streams.venues.base import Venue
from streams.venues.json_rows import RowReader
from streams.venues.parsed import Parsed
from streams.venues.recording.feed import RecordingFeed
from tests.streams.venues.feeds import CALM, Reader, until
from tests.venues.acme.market import PAIR, PERPETUAL, trades
from tests.venues.acme.server import AcmeServer, row_of
from tests.venues.acme.venue import Acme, AcmeFeed

GOOD = [trade for trade in trades(1) if trade.symbol == PAIR][:3]
# What its server sends, in order: what is none of its messages stands between trades.
LINES = [json.dumps({"t": [row_of(trade)]}) for trade in GOOD]
BAD = ["x", "[]"]
IDS = [trade.id for trade in GOOD]


class Broken(Acme):
    """Acme in the hands of somebody who thought of nothing: it raises anything for what is not one of its objects."""

    def __init__(self, error: Callable[[str], Exception], symbols: tuple[str, ...] = ()) -> None:
        super().__init__(load_settings())
        self.name = f"broken-{error.__name__}"
        self._error = error
        self._symbols = symbols

    def product_of(self, symbol: str) -> Product:
        if symbol in self._symbols:
            raise self._error(symbol)
        return super().product_of(symbol)

    def read_message(self, data: bytes) -> Parsed:
        if not data.startswith(b"{"):
            raise self._error("no object")
        return super().read_message(data)

    def read_row(self, row: bytes) -> Trade:
        if b"unlucky" in row:
            raise self._error("no row")
        return super().read_row(row)


ERRORS = [AttributeError, KeyError, RecursionError, AssertionError, OSError, Outage, BadSetting]


async def read_between(venue: Venue, server: AcmeServer) -> Reader:
    """Send what is no message between trades; return what the feed yielded on its one connection."""
    feed = AcmeFeed(server.url, venue, [PAIR], timing=CALM)
    async with Reader(feed) as reader:
        await reader.settled()
        for number, line in enumerate(LINES):
            for text in (line, *BAD) if number < 2 else (line,):
                await asyncio.to_thread(server.say, text)
        await until(lambda: len(reader.trades) == len(GOOD))
    assert feed.reconnects == 0
    return reader


async def test_a_malformed_message_is_a_reject_and_the_feed_goes_on() -> None:
    """With its reason and its bytes; the next trade arrives on the same socket."""
    with AcmeServer().running() as server:
        reader = await read_between(Acme(load_settings()), server)
    assert reader.ids() == IDS
    assert [(reject.reason, reject.payload) for reject in reader.rejects] == [
        ("not_json", b"x"),
        ("wrong_type", b"[]"),
    ] * 2


@pytest.mark.parametrize("error", ERRORS)
async def test_whatever_a_venue_raises_for_a_message_the_feed_goes_on(
    error: Callable[[str], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The bytes are kept as a fault of the program, and the traceback is logged once."""
    with AcmeServer().running() as server:
        reader = await read_between(Broken(error), server)
    assert reader.ids() == IDS
    assert [(reject.reason, reject.payload) for reject in reader.rejects] == [
        ("internal_error", text.encode()) for text in BAD * 2
    ]
    assert all("no object" in reject.detail for reject in reader.rejects)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"the venue broken-{error.__name__}" in record.getMessage()
    assert record.exc_info is not None


def test_a_symbol_that_a_venue_stumbles_over_is_left_out() -> None:
    """Like one that it refuses: the others are watched."""
    feed = AcmeFeed("ws://127.0.0.1:1", Broken(ZeroDivisionError, (PERPETUAL,)), [PERPETUAL, PAIR])
    assert feed.symbols == (PAIR,)


async def test_a_recording_goes_on_after_what_a_venue_stumbles_over(tmp_path: Path) -> None:
    """The line is kept with its number; so is one whose message is text that is no UTF-8."""
    bad = [b'{"venue":"x","frame":[]}', b'{"venue":"x","frame":"\xff"}']
    path = tmp_path / "acme.jsonl"
    path.write_bytes(b"\n".join([LINES[0].encode(), *bad, *(line.encode() for line in LINES[1:])]))
    venue = Broken(LookupError)
    venue.name = "x"
    batches = [batch async for batch in RecordingFeed([path], [venue]).batches()]
    assert [trade.trade_id for batch in batches for trade in batch.trades] == IDS
    rejects = [reject for batch in batches for reject in batch.rejects]
    assert [(reject.reason, reject.payload) for reject in rejects] == list(
        zip(["internal_error", "not_json"], bad, strict=True)
    )
    assert [reject.detail.partition(":")[0] for reject in rejects] == ["line 2", "line 3"]


async def test_a_symbol_of_a_recording_is_counted_by_the_venue_that_can(tmp_path: Path) -> None:
    """Another that stumbles over it is passed by."""
    path = tmp_path / "table.csv"
    path.write_text("time_ms,side,price,qty\n1760000000123,buy,60000.5,2\n")
    feed = RecordingFeed([path], [Broken(ValueError, (PAIR,)), Acme(load_settings())], symbol=PAIR)
    assert [trade.symbol for batch in [batch async for batch in feed.batches()] for trade in batch.trades] == [PAIR]


@pytest.mark.parametrize("more", [{}, {"venue": "broken-TypeError"}], ids=["by its fields", "by its name"])
def test_whatever_a_venue_raises_for_a_row_is_a_bad_record(more: dict[str, Any]) -> None:
    """So the worker keeps its bytes as those of any row that it refuses."""
    row = row_of(GOOD[0]) | more
    reader = RowReader([Broken(TypeError)])
    assert reader.read(json.dumps(row).encode()).trade_id == IDS[0]
    with pytest.raises(BadRecord, match="no row") as refused:
        reader.read(json.dumps(row | {"note": "unlucky"}).encode())
    assert refused.value.reason == "internal_error"
