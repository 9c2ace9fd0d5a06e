"""Faust as its guide shows it: an agent, a Record, a table in RocksDB, one write a trade."""

import sys
from dataclasses import astuple

import faust

from tests.benchmarks.peers.python.work import Progress, Window, arguments, rows_of

given = arguments()
# Faust reads the command line too.
sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
app = faust.App(
    "faust-peer",
    broker=f"kafka://{given.brokers}",
    store="rocksdb://",
    datadir=given.directory,
    topic_partitions=4,
    value_serializer="raw",
    consumer_auto_offset_reset="earliest",
)
trades = app.topic(given.topic, key_type=str, value_type=bytes)
windows = app.Table("windows", partitions=4)
panes = app.Table("panes", partitions=4)
progress = Progress(given.trades)


class Slots:
    """The panes of a symbol in the table."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol

    def get(self, slot: str) -> list[int] | None:
        """Return what a slot holds."""
        found: list[int] | None = panes.get(f"{self._symbol}|{slot}")
        return found

    def set(self, slot: str, pane: list[int]) -> None:
        """Store it."""
        panes[f"{self._symbol}|{slot}"] = pane


@app.agent(trades)  # type: ignore[untyped-decorator]
async def monitor(stream: faust.Stream[bytes]) -> None:
    """Count each trade into its symbol's window."""
    async for message in stream:
        rows = rows_of(message)
        for row in rows:
            symbol = row["symbol"]
            stored = windows.get(symbol)
            window = Window() if stored is None else Window(*stored)
            if window.count(row, Slots(symbol)):
                raise AssertionError("no window comes so far")
            windows[symbol] = astuple(window)
            progress.totals[symbol] = window.trades, window.all_notional
        progress.count(len(rows))


if __name__ == "__main__":
    app.main()
