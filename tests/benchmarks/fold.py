"""What counting and judging costs, without broker or Faust: ``python -m tests.benchmarks.fold``.

A frame is decoded, counted into panes and judged, as the worker does it. Sizes of frame, numbers of markets and lengths
of window vary.
"""

import sys
import time
from decimal import Decimal
from random import Random

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import SourceMessage, decode
from agents.rules.book import rule_book
from streams.model.frames import encode_frame
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.venues.json_rows import RowReader
from streams.venues.kraken.products import SPOT_PRODUCT
from streams.venues.registry import make_venues
from tables.market.span import Span
from tables.market.state import Market

START_US = 1_700_000_000_000_000


def frames(symbol: str, size: int, count: int, trades_per_second: int) -> list[bytes]:
    """Return ``count`` frames of ``size`` trades of a market that trades evenly."""
    random = Random(symbol)
    made = []
    for frame in range(count):
        first = frame * size
        trades = [
            Trade(
                "bench",
                symbol,
                number + 1,
                Side(1 + random.randrange(2)),
                Kind.FILL,
                Decimal(random.randrange(100_000, 110_000)).scaleb(-1),
                Decimal(random.randrange(1, 10**6)).scaleb(-8),
                START_US + number * 1_000_000 // trades_per_second,
                SPOT_PRODUCT,
            )
            for number in range(first, first + size)
        ]
        made.append(encode_frame("bench", symbol, trades, START_US))
    return made


def measure(size: int, count: int, *, markets: int = 1, window: int = 300, trades_per_second: int = 100) -> float:
    """Return seconds a trade."""
    evaluator = Evaluator(rule_book(load_settings()), window=window, cooldown=300, max_future_us=60_000_000)
    states = [Market("bench", f"M{n}/USD", Span(window, window + 3900)) for n in range(markets)]
    pattern = frames("M/USD", size, count, trades_per_second)
    rows = RowReader(make_venues(load_settings()))
    started = time.perf_counter()
    for value in pattern:
        for state in states:
            trades = decode(SourceMessage(value, 0, 0, START_US / 1e6), rows)
            done = 0
            while done < len(trades):
                outcome = evaluator.fold(state, trades, message_us=2 * START_US, partition=0, offset=0, start=done)
                done = outcome.done
                state.flushed_watermark = state.watermark
    return (time.perf_counter() - started) / (size * count * markets)


def main() -> None:
    """Print the table."""
    sys.stdout.write("frame  markets  window  us/trade  trades/s\n")
    for size, count, markets, window in (
        (1000, 300, 1, 300),
        (20, 3000, 1, 300),
        (1, 30_000, 1, 300),
        (20, 300, 10, 300),
        (20, 30, 100, 300),
        (20, 3, 1000, 300),
        (20, 3, 10_000, 300),
        (1000, 300, 1, 60),
        (1000, 300, 1, 3600),
        (1000, 300, 1, 86_400),
    ):
        seconds = measure(size, count, markets=markets, window=window)
        sys.stdout.write(f"{size:5}  {markets:7}  {window:5}s  {seconds * 1e6:8.2f}  {1 / seconds:10,.0f}\n")


if __name__ == "__main__":
    main()
