"""The trades of a part, as columns, as messages of each form, and as totals that owe nothing to any system.

Number ``n`` of all trades is of market ``n % symbols``, with the id ``n // symbols + 1``, ``n / rate`` seconds after
the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.model.frames import VERSION
from streams.model.trade import Side
from tests.benchmarks.bench.parts import SEED, Part

Integers = NDArray[np.int64]
Totals = dict[str, tuple[int, int]]
"""Trades and their notional in micro-USD, by symbol."""

START_SECONDS: Final = 1_700_000_000
VENUE: Final = "kraken_spot"
# A price in cents times a quantity in 1e-8 is in 1e-10 USD.
PER_MICRO: Final = 10**4
REST_UNITS: Final = 10**5
UNITS_PER_COIN: Final = 10**8
FRACTION_UNITS: Final = 10**6


def symbol_of(market: int) -> str:
    """Return a market's name."""
    return f"M{market}/USD"


@dataclass(frozen=True)
class Columns:
    """Trades in the order of their numbers: times in microseconds, prices in cents, quantities in 1e-8."""

    times: Integers
    cents: Integers
    quantities: Integers
    buys: NDArray[np.bool_]

    def at(self, where: slice) -> "Columns":
        """Return some of them."""
        return Columns(self.times[where], self.cents[where], self.quantities[where], self.buys[where])

    def listed(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (time, price, quantity, is a buy) of each."""
        return zip(self.times.tolist(), self.cents.tolist(), self.quantities.tolist(), self.buys.tolist(), strict=True)

    @property
    def amounts(self) -> Integers:
        """Notional in 1e-10 USD."""
        return self.cents * self.quantities

    @property
    def micros(self) -> Integers:
        """Notional in micro-USD, rounded to the nearest."""
        return (self.amounts + PER_MICRO // 2) // PER_MICRO


def columns(part: Part) -> Columns:
    """Return the trades of a part. No notional lies half way between two micro-USD: doubles round it as integers do."""
    random, numbers = np.random.default_rng(SEED), np.arange(part.trades, dtype=np.int64)
    cents = (1 + numbers % part.symbols % 50) * 10_000 + random.integers(0, 1000, part.trades)
    quantities = random.integers(1, UNITS_PER_COIN, part.trades)
    while (halves := cents * quantities % PER_MICRO == PER_MICRO // 2).any():
        quantities[halves] += 1
    times = START_SECONDS * 1_000_000 + numbers * 1_000_000 // part.rate
    return Columns(times, cents, quantities, random.integers(0, 2, part.trades).astype(bool))


def totals(part: Part, trades: Columns) -> Totals:
    """Return what every system has to arrive at."""
    sums = trades.micros.reshape(-1, part.symbols).sum(axis=0)
    count = part.trades // part.symbols
    return {symbol_of(market): (count, int(sums[market])) for market in range(part.symbols)}


@lru_cache
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def json_row(symbol: str, trade_id: int, time_us: int, cents: int, quantity: int, *, is_buy: bool) -> str:
    """Return a trade as Kraken's WebSocket writes it; price in cents, quantity in 1e-8."""
    stamp = _stamp(time_us // 1_000_000)
    return (
        f'{{"symbol":"{symbol}","side":"{"buy" if is_buy else "sell"}","price":{cents // 100}.{cents % 100:02},'
        f'"qty":{quantity // UNITS_PER_COIN}.{quantity % UNITS_PER_COIN:08},"ord_type":"market",'
        f'"trade_id":{trade_id},"timestamp":"{stamp}.{time_us % 1_000_000:06}Z"}}'
    )


def _messages(part: Part) -> Iterator[tuple[str, slice, int]]:
    """Yield (symbol, where its trades are in the columns, id of the first) of every message in order."""
    step = part.symbols * part.group
    for first in range(0, part.trades, step):
        for market in range(part.symbols):
            yield symbol_of(market), slice(first + market, first + step, part.symbols), first // part.symbols + 1


def json_messages(part: Part, trades: Columns) -> Iterator[tuple[str, bytes]]:
    """Yield (symbol, message): a JSON row, or an array of as many rows as the part's messages have trades."""
    if part.is_rows:
        symbols = [symbol_of(market) for market in range(part.symbols)]
        for number, (time_us, cents, quantity, is_buy) in enumerate(trades.listed()):
            trade_id, market = divmod(number, part.symbols)
            symbol = symbols[market]
            yield symbol, json_row(symbol, trade_id + 1, time_us, cents, quantity, is_buy=is_buy).encode()
        return
    for symbol, where, first_id in _messages(part):
        some = trades.at(where)
        rows = [
            json_row(symbol, first_id + at, time_us, cents, quantity, is_buy=is_buy)
            for at, (time_us, cents, quantity, is_buy) in enumerate(some.listed())
        ]
        yield symbol, f"[{','.join(rows)}]".encode()


def frames(part: Part, trades: Columns) -> Iterator[tuple[str, bytes]]:
    """Yield (symbol, frame) of the same trades as the program's producer writes them."""
    for symbol, where, first_id in _messages(part):
        some = trades.at(where)
        micros = some.micros
        # In the order of Frame's fields.
        items = (
            VERSION,
            VENUE,
            symbol,
            int(some.times[-1]),
            np.arange(first_id, first_id + len(micros), dtype="<i8").tobytes(),
            some.times.astype("<i8").tobytes(),
            (some.cents / 100).astype("<f8").tobytes(),
            micros.astype("<i8").tobytes(),
            ((some.amounts - micros * PER_MICRO) * REST_UNITS).astype("<i4").tobytes(),
            (some.quantities // UNITS_PER_COIN).astype("<i8").tobytes(),
            (some.quantities % UNITS_PER_COIN * FRACTION_UNITS).astype("<i8").tobytes(),
            np.where(some.buys, int(Side.BUY), int(Side.SELL)).astype("u1").tobytes(),
        )
        yield symbol, msgspec.msgpack.encode(items)
