"""A page of Kraken's REST Trades as columns, where all of its rows are plain. No I/O."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from streams.model.decimals import linear_amounts
from streams.model.plain_rows import PlainMarket, PlainRows
from streams.model.plain_trades import PlainTrades
from streams.model.products import linear
from streams.model.trade import Side, Trade, is_market_name
from streams.venues.json_text import BAD_JSON
from streams.venues.recording.markets import Market
from streams.venues.recording.number_columns import doubles, times_us
from streams.venues.recording.times import Unit

_SIDES: Final = {"b": int(Side.BUY), "s": int(Side.SELL)}


class _Row(msgspec.Struct, array_like=True, gc=False):
    price: str
    volume: str
    time: msgspec.Raw
    side: Literal["b", "s"]
    kind: msgspec.Raw
    misc: msgspec.Raw
    # 0 is no identity.
    trade_id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


_rows: Final = msgspec.json.Decoder(list[_Row])
_raw_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])


def plain_page(
    venue: str, market: Market, page: msgspec.Raw, read: Callable[[msgspec.Raw], Trade]
) -> PlainTrades | None:
    """Return the rows of a page, oldest first, None where one of them is not plain; ``read`` reads one alone.

    A row is plain as one of CSV is (:mod:`~.csv_columns`), and has an identity.
    """
    symbol, product = market
    if product.notional is not linear or product.kind.has_wide_ids:
        return None
    try:
        rows = _rows.decode(page)
    except BAD_JSON:
        return None
    if not (rows and is_market_name(symbol) and is_market_name(venue)):
        return None
    count = len(rows)
    prices, is_plain = doubles([row.price for row in rows])
    quantities, are_short = doubles([row.volume for row in rows])
    stamps = [bytes(row.time).decode("latin-1") for row in rows]
    times = times_us(stamps, Unit.SECONDS)
    amounts = linear_amounts(prices, quantities)
    is_plain &= are_short & amounts.is_exact & (times > 0)
    if not is_plain.all() or any("_" in row.price or "_" in row.volume for row in rows):
        return None
    found = PlainRows.of(
        [PlainMarket(venue, symbol, product.kind)],
        np.arange(count),
        np.zeros(count, np.int64),
        np.fromiter((row.trade_id for row in rows), np.int64, count),
        times,
        prices,
        amounts,
        np.fromiter((_SIDES[row.side] for row in rows), np.int64, count),
    )
    is_newest_first = float(stamps[0]) > float(stamps[-1])
    raws: list[msgspec.Raw] = []

    def make(place: int) -> Trade:
        if not raws:
            raws.extend(_raw_rows.decode(page))
        return read(raws[place])

    trades = PlainTrades(found, make)
    return trades[::-1] if is_newest_first else trades
