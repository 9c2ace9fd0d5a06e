"""What an hour of panes costs in memory and in the changelog: ``python -m tests.benchmarks.memory``."""

import sys
import tracemalloc
from random import Random

from tables.market.chunks import encode
from tables.market.identities import add_range
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.items import taken_from

HOUR = 3600
FIRST_PANE = 1_700_000_000


def hour(trades_a_second: int) -> Market:
    """Return a market in which every second of an hour traded."""
    random = Random(1)
    market = Market("bench", "BTC/USD", Span(300, HOUR + 600))
    trade_id = 1
    for number in range(FIRST_PANE, FIRST_PANE + HOUR):
        pane = market.open_pane(number)
        assert pane is not None
        for _ in range(trades_a_second):
            add_range(pane.ids, trade_id, trade_id)
            pane.add_trade(
                trade_id,
                number * 1_000_000 + random.randrange(1_000_000),
                random.randrange(10**6) / 10,
                random.randrange(10**10),
                random.randrange(10**8),
                0,
                random.randrange(10**13),
                1 + trade_id % 2,
                False,
            )
            trade_id += 1
        market.counted(number, pane, 1, 0)
        # A worker flushes every second.
        taken_from([market], market.span)
    return market


def main() -> None:
    """Print a line for each rate."""
    for rate in (1, 3, 10):
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        market = hour(rate)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        stored = sum(len(encode(chunk)) for chunk in market.chunks.values())
        sys.stdout.write(
            f"{rate:3} trades/s: {(after - before) / 1e6:.2f} MB in memory, {stored / 1e6:.2f} MB stored\n"
        )


if __name__ == "__main__":
    main()
