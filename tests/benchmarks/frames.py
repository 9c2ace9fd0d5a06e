"""How large frames become and how long they wait, by rate and markets: ``python -m tests.benchmarks.frames``.

Pure: messages of two trades come at random times (a Poisson process, seeded) over equal markets, for five seconds, and
frames are released each millisecond, as a loop's timers do. Before, every frame waited for the whole linger. At last it
prints what a trade takes in frames of some sizes, before Kafka's client packs them.
"""

import random
import sys
from decimal import Decimal

from streams.model.frames import encode_frame
from streams.model.trade import Kind, Side, Trade
from streams.publish.coalescer import Coalescer
from streams.publish.producer import ALONE_US
from streams.venues.kraken.products import SPOT_PRODUCT

LOADS = ((1000, 10), (3000, 10), (20_000, 10), (20_000, 1000))
SECONDS = 5
TRADES_A_MESSAGE = 2
LINGER_US = 5000
NOON_US = 1_700_000_000_000_000


def played(rate: int, symbols: int, alone_us: int | None) -> tuple[float, float]:
    """Return the trades of a frame and the milliseconds that its first trade waits, on average."""
    draw, coalescer = random.Random(1), Coalescer(500, LINGER_US, alone_us)
    markets = [
        Trade("bench", f"M{n}/USD", 1, Side.BUY, Kind.FILL, Decimal(1), Decimal(1), NOON_US, SPOT_PRODUCT)
        for n in range(symbols)
    ]
    next_us = waited_us = 0.0
    frames = trades = 0
    for now_us in range(0, SECONDS * 1_000_000, 1000):
        for group in coalescer.due(now_us):
            frames += 1
            trades += len(group.trades)
            waited_us += now_us - group.received_us
        while next_us < now_us + 1000:
            coalescer.add([draw.choice(markets)] * TRADES_A_MESSAGE, int(next_us), int(next_us))
            next_us += draw.expovariate(rate / TRADES_A_MESSAGE) * 1e6
    return trades / frames, waited_us / frames / 1000


def bytes_a_trade(size: int) -> float:
    """Return how long a frame of so many trades is, by its trades."""
    draw = random.Random(size)
    trades = [
        Trade(
            "kraken_spot", "BTC/USD", number, Side.BUY, Kind.FILL,
            Decimal(draw.randrange(10**6, 11 * 10**5)).scaleb(-1),
            Decimal(draw.randrange(1, 10**9)).scaleb(-8), NOON_US + number, SPOT_PRODUCT,
        )
        for number in range(size)
    ]  # fmt: skip
    return len(encode_frame("kraken_spot", "BTC/USD", trades, NOON_US)) / size


def main() -> None:
    """Print a line for each load, and one for sizes."""
    for rate, symbols in LOADS:
        size, waited = played(rate, symbols, ALONE_US)
        size_before, waited_before = played(rate, symbols, None)
        sys.stdout.write(
            f"{rate:6} trades/s over {symbols:5} markets: {size:5.2f} trades a frame, {waited:3.1f} ms "
            f"(before {size_before:5.2f} and {waited_before:3.1f} ms)\n"
        )
    sizes = ", ".join(f"{bytes_a_trade(size):.0f} in frames of {size}" for size in (1, 3, 20, 1000))
    sys.stdout.write(f"bytes a trade: {sizes}\n")


if __name__ == "__main__":
    main()
