"""Quix Streams as its guide shows it: a DataFrame, stateful, with its state in RocksDB and a changelog."""

from dataclasses import astuple
from typing import Any

from quixstreams import Application, State

from tests.benchmarks.peers.python.work import Progress, Window, arguments, rows_of


def main() -> None:
    """Read until ended from outside."""
    given = arguments()
    progress = Progress(given.trades)
    app = Application(
        broker_address=given.brokers,
        consumer_group="quix-peer",
        auto_offset_reset="earliest",
        state_dir=given.directory,
        loglevel="ERROR",
    )

    def count(message: bytes, state: State) -> dict[str, Any] | None:
        rows = rows_of(message)
        symbol = rows[0]["symbol"]
        stored = state.get("window")
        window = Window() if stored is None else Window(*stored)
        is_beyond = [window.count(row, state) for row in rows]
        state.set("window", astuple(window))
        progress.totals[symbol] = window.trades, window.all_notional
        progress.count(len(rows))
        return {"symbol": symbol, "notional": window.notional} if any(is_beyond) else None

    frame = app.dataframe(app.topic(given.topic, value_deserializer="bytes"))
    frame = frame.apply(count, stateful=True).filter(lambda alert: alert is not None)
    frame.to_topic(app.topic("peer-alerts", value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
