"""A deque of a window's trades for each symbol, in memory alone: what a first version of such a monitor does."""

import asyncio
from collections import defaultdict, deque

from aiokafka import AIOKafkaConsumer

from tests.benchmarks.peers.python.work import (
    THRESHOLD,
    WINDOW_SECONDS,
    Progress,
    arguments,
    notional_of,
    rows_of,
    second_of,
)


async def main() -> None:
    """Read until ended from outside."""
    given = arguments()
    progress = Progress(given.trades)
    windows: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
    sums: dict[str, int] = defaultdict(int)
    async with AIOKafkaConsumer(
        given.topic, bootstrap_servers=given.brokers, group_id="deque-peer", auto_offset_reset="earliest"
    ) as consumer:
        async for message in consumer:
            rows = rows_of(message.value)
            for row in rows:
                symbol, second, amount = row["symbol"], second_of(row), notional_of(row)
                window = windows[symbol]
                window.append((second, amount))
                sums[symbol] += amount
                while window[0][0] <= second - WINDOW_SECONDS:
                    sums[symbol] -= window.popleft()[1]
                if sums[symbol] >= THRESHOLD:
                    raise AssertionError("no window comes so far")
                trades, total = progress.totals.get(symbol, (0, 0))
                progress.totals[symbol] = trades + 1, total + amount
            progress.count(len(rows))


if __name__ == "__main__":
    asyncio.run(main())
