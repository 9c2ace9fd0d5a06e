"""Bytewax as its guide shows it: a dataflow with a stateful step per key, and a snapshot in SQLite each 10 s."""

import os
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.benchmarks.peers.python.work import Progress, Window, arguments, rows_of


class Slots(dict[str, list[int]]):
    """The panes of a symbol, in memory; Bytewax keeps them in its snapshots."""

    set = dict.__setitem__


def main() -> None:
    """Read until the topic's end, then wait to be ended from outside."""
    given = arguments()
    progress = Progress(given.trades)

    def rows(message: Any) -> list[tuple[str, dict[str, Any]]]:
        return [(row["symbol"], row) for row in rows_of(message.value)]

    def count(state: Any, row: dict[str, Any]) -> tuple[Any, list[int]]:
        window, panes = state or (Window(), Slots())
        is_beyond = window.count(row, panes)
        progress.totals[row["symbol"]] = window.trades, window.all_notional
        progress.count(1)
        return (window, panes), [window.notional] if is_beyond else []

    flow = Dataflow("bytewax-peer")
    source = KafkaSource(brokers=[given.brokers], topics=[given.topic], tail=True)
    read = op.input("trades", flow, source)
    keyed = op.flat_map("rows", read, rows)
    alerts = op.stateful_flat_map("window", keyed, count)
    op.output("alerts", alerts, StdOutSink())
    directory = Path(given.directory)
    directory.mkdir(parents=True, exist_ok=True)
    init_db_dir(directory, 1)
    cli_main(flow, recovery_config=RecoveryConfig(directory))
    os._exit(1)


if __name__ == "__main__":
    main()
