"""Recordings to measure with: made trades, written as people have them. The same for the same seed.

A recording's form is one of:

* ``csv``: ``trade_id,time_ms,side,price,qty``, one market a file
* ``csv-markets``: the same with a column ``symbol``, all markets in one file
* ``csv-bare``: Kraken's time and sales, ``timestamp,price,volume`` without a header, one market a file
* ``messages``: lines of JSON, ``{"received": unix seconds, "frame": message}`` of Kraken's spot socket, one row each
* ``pages``: lines of JSON, answers of Kraken's REST call Trades of 1000 rows, one market a file
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

START_MS: Final = 1_700_000_000_000
SECONDS_A_PAGE: Final = 1000
_BASES: Final = ("XBT", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "LINK", "ATOM", "UNI")


class Made(NamedTuple):
    """One made trade, its numbers as texts."""

    market: int
    trade_id: int
    time_ms: int
    side: str
    price: str
    quantity: str


def trades(count: int, markets: int, rate: float, seed: int = 1) -> Iterator[Made]:
    """Yield trades of markets in turn, ``rate`` a second of event time of each market, at random moments."""
    random = Random(seed)
    draw, prices, clock = random.random, [1_000_000 + 77_777 * market for market in range(markets)], 0.0
    step = 2000 / rate / markets
    for number in range(count):
        market = number % markets
        clock += step * draw()
        prices[market] += int(draw() * 21) - 10
        price, lots = prices[market], int(10 ** (3 + 5 * draw()))
        yield Made(
            market,
            1_000_000 + number // markets,
            START_MS + int(clock),
            "buy" if draw() < 0.5 else "sell",
            f"{price // 10}.{price % 10}",
            f"{lots // 100_000_000}.{lots % 100_000_000:08d}",
        )


def _csv(made: Made) -> str:
    return f"{made.trade_id},{made.time_ms},{made.side},{made.price},{made.quantity}\n"


def _csv_markets(made: Made) -> str:
    return f"{symbol(made.market)},{_csv(made)}"


def _csv_bare(made: Made) -> str:
    return f"{made.time_ms // 1000},{made.price},{made.quantity}\n"


def _message(made: Made) -> str:
    stamp = datetime.fromtimestamp(made.time_ms / 1000, UTC).isoformat(timespec="microseconds")[:-6]
    return (
        f'{{"received":{made.time_ms / 1000 + 0.021:.6f},"frame":{{"channel":"trade","type":"update","data":['
        f'{{"symbol":"{symbol(made.market)}","side":"{made.side}","price":{made.price},"qty":{made.quantity},'
        f'"ord_type":"market","trade_id":{made.trade_id},"timestamp":"{stamp}Z"}}]}}}}\n'
    )


def _row_of_page(made: Made) -> str:
    return (
        f'["{made.price}0000","{made.quantity}",{made.time_ms / 1000:.3f}4321,"{made.side[0]}","m","",{made.trade_id}]'
    )


def symbol(market: int) -> str:
    """Return what a market is called."""
    base = _BASES[market] if market < len(_BASES) else f"M{market}"
    return f"{base.replace('XBT', 'BTC')}/USD"


_FORMS: Final[dict[str, tuple[str, str, Callable[[Made], str]]]] = {
    "csv": ("csv", "trade_id,time_ms,side,price,qty\n", _csv),
    "csv-markets": ("csv", "symbol,trade_id,time_ms,side,price,qty\n", _csv_markets),
    "csv-bare": ("csv", "", _csv_bare),
    "messages": ("jsonl", "", _message),
    "pages": ("jsonl", "", _row_of_page),
}
FORMS: Final = tuple(_FORMS)
IN_ONE_FILE: Final = frozenset(("csv-markets", "messages"))


def write(directory: Path, form: str, count: int, markets: int, rate: float) -> list[Path]:
    """Write a recording of ``count`` trades and return its files."""
    ending, header, line_of = _FORMS[form]
    in_one = form in IN_ONE_FILE
    names = ["all"] if in_one else [symbol(market).replace("/", "") for market in range(markets)]
    paths = [directory / f"{name}.{ending}" for name in names]
    files = [path.open("w") for path in paths]
    rows: list[list[str]] = [[] for _ in paths]
    for file in files:
        file.write(header)
    for made in trades(count, markets, rate):
        at = 0 if in_one else made.market
        rows[at].append(line_of(made))
        if len(rows[at]) == SECONDS_A_PAGE:
            files[at].write(_joined(form, names[at], rows[at]))
            rows[at] = []
    for at, file in enumerate(files):
        if rows[at]:
            file.write(_joined(form, names[at], rows[at]))
        file.close()
    return paths


def _joined(form: str, pair: str, rows: list[str]) -> str:
    if form != "pages":
        return "".join(rows)
    return f'{{"error":[],"result":{{"{pair}":[{",".join(rows)}],"last":"0"}}}}\n'
