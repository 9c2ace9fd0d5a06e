"""What a trade that comes late costs, without broker or Faust: ``python -m tests.benchmarks.late``.

A late trade changes every window that holds its pane. Each is judged again, by each rule of the market.
"""

import sys
import time
from decimal import Decimal

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import SourceMessage, decode
from agents.rules.book import rule_book
from streams.model.frames import encode_frame
from streams.model.trade import Kind, Side, Trade
from streams.settings import Settings, load_settings
from streams.venues.json_rows import RowReader
from streams.venues.kraken.products import SPOT_PRODUCT
from streams.venues.registry import make_venues
from tables.market.span import Span
from tables.market.state import Market

START_US = 1_700_000_000_000_000
SECONDS = 1000
FRAMES = 300


class Late:
    """A market with a trade in each of the last 1000 seconds, and frames that come late."""

    def __init__(self, settings: Settings) -> None:
        self.evaluator = Evaluator(rule_book(settings), window=300, cooldown=300, max_future_us=60_000_000)
        self.market = Market("bench", "M/USD", Span(300, 4200))
        self.rows = RowReader(make_venues(settings))
        self.offset = self.trade_id = 0
        for second in range(SECONDS):
            self.fold(self.frame(second, 1))
            self.market.flushed_watermark = self.market.watermark

    def frame(self, second: int, size: int) -> bytes:
        """Return ``size`` trades of one second, worth 1 USD each."""
        trades = []
        for at in range(size):
            self.trade_id += 1
            trades.append(
                Trade(
                    "bench",
                    "M/USD",
                    self.trade_id,
                    Side.BUY,
                    Kind.FILL,
                    Decimal(10_000),
                    Decimal("0.0001"),
                    START_US + second * 1_000_000 + at,
                    SPOT_PRODUCT,
                )
            )
        return encode_frame("bench", "M/USD", trades, START_US)

    def fold(self, frame: bytes) -> None:
        """Count and judge one frame."""
        trades = decode(SourceMessage(frame, 0, self.offset, START_US / 1e6), self.rows)
        self.evaluator.fold(self.market, trades, message_us=2 * START_US, partition=0, offset=self.offset)
        self.offset += 1


def measure(settings: Settings, size: int, lag_seconds: int) -> float:
    """Return seconds per late trade."""
    late = Late(settings)
    frames = [late.frame(SECONDS - 1 - lag_seconds - at % min(lag_seconds, 50), size) for at in range(FRAMES)]
    started = time.perf_counter()
    for frame in frames:
        late.fold(frame)
    return (time.perf_counter() - started) / (FRAMES * size)


def main() -> None:
    """Print the table."""
    sys.stdout.write("rules                 frame  seconds late  us/trade\n")
    for name, settings in (("volume", load_settings()), ("volume, price_move", load_settings(price_move_pct=5))):
        for size in (1, 20):
            for lag_seconds in (1, 400):
                cost = measure(settings, size, lag_seconds)
                sys.stdout.write(f"{name:20}  {size:5}  {lag_seconds:12}  {cost * 1e6:8.1f}\n")


if __name__ == "__main__":
    main()
