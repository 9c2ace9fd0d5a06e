"""What an answer of ``/metrics`` costs: ``python -m tests.benchmarks.exposition [markets ...]``.

Every market is listed by the settings, so each has a series of its own. For comparison the client's library writes the
same metrics in one piece. Processor time is of the process; a step is the time that others of the loop wait.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, generate_latest

import streams.app
from agents.counting.series import series_of
from streams import exposition, metrics

MARKETS = (1000, 10_000)
TIMES = 20
VENUE = "kraken_spot"


async def longest_step(work: asyncio.Task[bytes]) -> float:
    """Return the longest time in seconds that the loop was kept from a task that is always ready."""
    longest, before = 0.0, time.perf_counter()
    while not work.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


def in_one_piece(markets: int) -> Callable[[], bytes]:
    """Return what writes the same by the library alone."""
    registry = CollectorRegistry()
    gauge = Gauge("liqmon_last_trade_timestamp_seconds", "One.", ["venue", "symbol"], registry=registry)
    for number in range(markets):
        gauge.labels(VENUE, symbol_of(number)).set(time.time())
    return lambda: generate_latest(registry)


def symbol_of(number: int) -> str:
    """Return the name of a market."""
    return f"M{number}/USD"


def timed(write: Callable[[], bytes]) -> float:
    """Return how much processor time writing takes, seconds: the median of several times."""
    took = []
    for _ in range(TIMES):
        began = time.process_time()
        write()
        took.append(time.process_time() - began)
    return statistics.median(took)


def main(counts: list[int]) -> None:
    """Print a line for each number of markets."""
    assert streams.app  # every metric of a worker is made by its import
    for markets in counts:
        listed = [(VENUE, symbol_of(number)) for number in range(markets)]
        metrics.list_markets(listed)
        for venue, symbol in listed:
            series_of(venue, symbol).last_trade_seconds.set(time.time())

        async def made() -> float:
            return await longest_step(asyncio.create_task(exposition.exposition()))

        size = len(asyncio.run(exposition.exposition()))
        before = timed(in_one_piece(markets))
        after = timed(lambda: asyncio.run(exposition.exposition()))
        step = statistics.median(asyncio.run(made()) for _ in range(TIMES))
        sys.stdout.write(
            f"{markets:6} markets, {size:9,} bytes: {after * 1000:6.1f} ms, longest step {step * 1000:4.1f} ms; "
            f"by the library in one step {before * 1000:6.1f} ms\n"
        )


if __name__ == "__main__":
    main([int(given) for given in sys.argv[1:]] or list(MARKETS))
