"""From a trade's receipt to its alert's committed row: ``python -m tests.benchmarks.latency [seconds]``.

The simulated Kraken trades 1000 times a second; thresholds are so low and the cooldown so short that every market
alerts about once a second. The figures are the worker's own histogram ``liqmon_event_to_row_seconds``.
"""

import sys
import tempfile
import time
import urllib.request
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from tests.faults.processes import Process, Processes, liqmon, wait_until
from tests.kafka import real_or_embedded
from tests.kafka.server import HOST, free_ports

RATE = 1000
FIRST_TRADES = 5 * RATE
READY_SECONDS = 60.0


def buckets(worker: Process) -> dict[float, float]:
    """Return the histogram: upper bound in seconds to cumulative count."""
    with urllib.request.urlopen(f"http://{HOST}:{worker.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "liqmon_event_to_row_seconds_bucket"
    }


def has_counted(worker: Process, trades: int) -> bool:
    """Whether the worker has counted so many trades."""
    return worker.metric("liqmon_trades_total") >= trades


def main(seconds: float) -> None:
    """Run the chain and print the distribution."""
    (port,) = free_ports(1)
    with (
        tempfile.TemporaryDirectory() as name,
        real_or_embedded(Path(name) / "kafka") as broker,
        EmbeddedPostgres(Path(name) / "postgres") as postgres,
    ):
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            **({"CREATE_TOPICS": "false", "FETCH_MAX_WAIT_MS": "20"} if isinstance(broker, EmbeddedBroker) else {}),
            "SPOT_WS_URL": f"ws://{HOST}:{port}/v2",
            "FUTURES_WS_URL": f"ws://{HOST}:{port}/ws/v1",
            "LIQUIDATION_THRESHOLD_USD": "1",
            "ALERT_COOLDOWN_SEC": "1",
            **postgres.settings,
        }
        with Processes(Path(name), environment) as processes:
            processes.add("simulator", liqmon("simulate", "--port", str(port), "--rate", str(RATE))).start()
            worker = processes.worker("worker").start()
            worker.wait_ready(READY_SECONDS)
            processes.producer("producer").start().wait_ready(READY_SECONDS)
            # The first trades come with snapshots and connections being made.
            wait_until(partial(has_counted, worker, FIRST_TRADES), READY_SECONDS, "the first trades")
            before = buckets(worker)
            trades = worker.metric("liqmon_trades_total")
            time.sleep(seconds)
            after = buckets(worker)
            rate = (worker.metric("liqmon_trades_total") - trades) / seconds
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = counts[float("inf")]
    sys.stdout.write(f"{total:.0f} alerts at {rate:.0f} trades/s in {seconds:.0f} s\n")
    for bound, count in counts.items():
        sys.stdout.write(f"within {bound * 1000:8.0f} ms  {count / total:8.2%}\n")
        if count == total:
            break


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
