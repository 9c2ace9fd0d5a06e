"""A recording of a venue that the program knows nothing of: its own messages and symbols, under the file's name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.model.trade import Trade
from streams.settings import load_settings
from streams.venues.registry import make_feeds
from tests.oracle import OracleTrade, id_number
from tests.venues.acme import venue
from tests.venues.acme.market import PAIR, PERPETUAL, trades
from tests.venues.acme.server import row_of
from tests.wire import spot_row

Form = Callable[[str], str]
FORMS: dict[str, Form] = {
    "bare": lambda message: message,
    "wrapped": lambda message: f'{{"received":1760000000.5,"frame":{message}}}',
    "as text": lambda message: json.dumps({"received": 1760000000, "frame": message}),
    "named": lambda message: f'{{"venue":"acme","frame":{message}}}',
}


async def replayed(path: Path, **given: Any) -> list[Trade]:
    """Return the trades of a recording that is read as a producer with Acme among its venues reads it."""
    (feed,) = make_feeds(load_settings(venues="tests.venues.acme.venue"), files=[path], **given)
    batches = [batch async for batch in feed.batches()]
    assert [reject for batch in batches for reject in batch.rejects] == []
    return [trade for batch in batches for trade in batch.trades]


def as_read(trade: OracleTrade, name: str) -> tuple[Any, ...]:
    product = venue.product_of(trade.symbol)
    quantity = trade.qty if trade.symbol == PAIR else trade.qty * 100
    return (name, trade.symbol, id_number(trade.id), trade.price, quantity, trade.time_us, product)


def figures(trade: Trade) -> tuple[Any, ...]:
    return (trade.venue, trade.symbol, trade.trade_id, trade.price, trade.quantity, trade.time_us, trade.product)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_its_messages_are_read_by_the_venue(tmp_path: Path, form: Form) -> None:
    """Both kinds of market, with ids, quantities and products as on the socket; the name is the recording's."""
    given = trades(1)[:40]
    lines = [json.dumps({"t": [row_of(trade) for trade in given[at : at + 8]]}) for at in range(0, 40, 8)]
    path = tmp_path / "Acme 1.jsonl"
    path.write_text("".join(f"{form(line)}\n" for line in ['{"beat":true}', *lines]))
    wanted = [as_read(trade, "recording:acme-1") for trade in given]
    assert [figures(trade) for trade in await replayed(path)] == wanted


async def test_its_messages_may_stand_among_krakens(tmp_path: Path) -> None:
    """Each is read by the venue that recognises it."""
    own = trades(1)[0]
    pair = OracleTrade("x", "BTC/USD", 7, "buy", "fill", own.price, own.qty, own.time_us)
    kraken = {"channel": "trade", "type": "update", "data": [spot_row(pair)]}
    path = tmp_path / "mixed.jsonl"
    encode = msgspec.json.Encoder(decimal_format="number").encode
    path.write_bytes(encode(kraken) + b"\n" + encode({"t": [row_of(own)]}) + b"\n")
    assert [(trade.symbol, trade.trade_id) for trade in await replayed(path)] == [("BTC/USD", 7), (PAIR, own.id)]


@pytest.mark.parametrize("symbol", [PAIR, PERPETUAL])
async def test_its_symbols_are_what_the_venue_says(tmp_path: Path, symbol: str) -> None:
    """A table of trades names its market on the command line: a spot pair called PF_… is no future."""
    path = tmp_path / "table.csv"
    path.write_text("time_ms,side,price,qty\n1760000000123,buy,60000.5,2\n")
    (trade,) = await replayed(path, symbol=symbol)
    assert (trade.symbol, trade.product) == (symbol, venue.product_of(symbol))
