"""From a trade's receipt to its alert's committed row, in whole and by stage: ``python -m tests.benchmarks.latency``.

A Kraken sends so many trades a second over so many spot markets (``--rate``, ``--symbols``), two to a message, evenly
over time. Twenty markets, or all where there are fewer, alert about once a second each; the others never do. Producer,
worker, Kafka and Postgres run as an operator runs them: state is flushed each second, and a page is open.

The figures are the program's own histograms, ``liqmon_event_to_row_seconds`` and ``liqmon_stage_seconds``. Within a
bucket values are taken to lie evenly, as Prometheus does. A stage is measured by the oldest of what passes together.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from tests.benchmarks.web import Pages
from tests.faults.processes import Process, Processes, http_get, wait_until
from tests.kafka import real_or_embedded
from tests.kafka.server import HOST, free_ports
from tests.machine import cpu_seconds

READY_SECONDS = 90.0
WARM_UP_SECONDS = 5.0
# An answer takes the worker's time.
LOOK_SECONDS = 0.5
# So many times as long as asked for.
SLOWEST = 6
MOST_LOUD = 20
SHARES = (0.5, 0.9, 0.99)

Buckets = Mapping[float, float]
"""A histogram: upper bound in seconds to cumulative count."""


def histograms(process: Process) -> dict[str, dict[float, float]]:
    """Return the whole way's histogram as ``row``, those of stages by name."""
    _, text = http_get(process.port, "/metrics", timeout_seconds=10)
    found: dict[str, dict[float, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in ("liqmon_event_to_row_seconds_bucket", "liqmon_stage_seconds_bucket"):
                name = sample.labels.get("stage", "whole")
                found.setdefault(name, {})[float(sample.labels["le"])] = sample.value
    return found


def all_histograms(*processes: Process) -> dict[str, dict[float, float]]:
    """Return those of several processes; each stage belongs to one of them."""
    found: dict[str, dict[float, float]] = {}
    for process in processes:
        for name, buckets in histograms(process).items():
            if name not in found or buckets[float("inf")]:
                found[name] = buckets
    return found


def percentile(buckets: Buckets, share: float) -> float:
    """Return below which duration in seconds this share of the values lies."""
    wanted = share * buckets[float("inf")]
    for (lower, below), (upper, count) in pairwise([(0.0, 0.0), *sorted(buckets.items())]):
        if count >= wanted and count > below:
            return lower if upper == float("inf") else lower + (upper - lower) * (wanted - below) / (count - below)
    return 0.0


def difference(after: Buckets, before: Buckets) -> dict[float, float]:
    """Return what was added to a histogram."""
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def has_begun(worker: Process, trades: int) -> bool:
    """Whether the worker has counted so many trades."""
    return worker.metric("liqmon_trades_total") >= trades


def main(options: argparse.Namespace) -> None:
    """Run the chain and print the percentiles."""
    (port,) = free_ports(1)
    loud = min(MOST_LOUD, options.symbols)
    with (
        tempfile.TemporaryDirectory() as name,
        real_or_embedded(Path(name) / "kafka") as broker,
        EmbeddedPostgres(Path(name) / "postgres") as postgres,
    ):
        is_embedded = isinstance(broker, EmbeddedBroker)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            **({"CREATE_TOPICS": "false", "FETCH_MAX_WAIT_MS": "20"} if is_embedded else {}),
            "SPOT_WS_URL": f"ws://{HOST}:{port}/v2",
            "SPOT_SYMBOLS": ",".join(f"M{number}/USD" for number in range(options.symbols)),
            "FUTURES_SYMBOLS": "",
            "LIQUIDATION_THRESHOLD_USD": "50000",
            "ALERT_COOLDOWN_SEC": "1",
            **postgres.settings,
            **dict(setting.split("=", 1) for setting in options.set),
        }
        market = [sys.executable, "-m", "tests.benchmarks.market"]
        market += [str(port), str(options.rate), str(options.symbols), str(loud)]
        with Processes(Path(name), environment) as processes:
            here = {"PYTHONPATH": str(Path(__file__).parents[2])}
            processes.add("market", market, environment=here).start()
            worker = processes.worker("worker").start()
            worker.wait_ready(READY_SECONDS)
            producer = processes.producer("producer").start()
            producer.wait_ready(READY_SECONDS)
            page = Pages(worker.port, 1, "overview")
            try:
                # The first trades come with connections being made, and with every market opened.
                wait_until(partial(has_begun, worker, 5 * options.rate), READY_SECONDS, "the first trades")
                page.open()
                wait_until(partial(has_begun, worker, (5 + WARM_UP_SECONDS) * options.rate), READY_SECONDS, "warm-up")
                before, trades = all_histograms(worker, producer), worker.metric("liqmon_trades_total")
                used, began = [cpu_seconds([each.pid]) for each in (worker, producer)], time.perf_counter()
                # A worker that does not keep up takes longer, and the printed rate says so.
                wanted, most = trades + options.seconds * options.rate, SLOWEST * options.seconds
                wait_until(partial(has_begun, worker, wanted), most, "the measured trades", poll_seconds=LOOK_SECONDS)
                after, rate = all_histograms(worker, producer), worker.metric("liqmon_trades_total") - trades
                seconds = time.perf_counter() - began
                cpu = [cpu_seconds([each.pid]) - was for each, was in zip((worker, producer), used, strict=True)]
                rate /= seconds
                page.close()
            finally:
                page.stop()
    added = {name: difference(after[name], before.get(name, {})) for name in after}
    alerts = added["whole"][float("inf")]
    sys.stdout.write(
        f"{alerts:.0f} alerts at {rate:.0f} trades/s over {options.symbols} markets in {seconds:.0f} s, a page open, "
        f"{'the embedded broker' if is_embedded else 'Kafka'}; "
        f"CPU s/s: worker {cpu[0] / seconds:.2f}, producer {cpu[1] / seconds:.2f}\n"
        f"{'ms':10}{'values':>8}" + "".join(f"{f'p{share * 100:g}':>8}" for share in SHARES) + "\n"
    )
    for name in ("whole", "receive", "publish", "fetch", "fold", "alert", "row"):
        if name in added:
            figures = "".join(f"{percentile(added[name], share) * 1000:8.1f}" for share in SHARES)
            sys.stdout.write(f"{name:10}{added[name][float('inf')]:8.0f}{figures}\n")


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.latency")
    options.add_argument("seconds", type=float, nargs="?", default=20.0, help="how long is measured (default 20)")
    options.add_argument("--rate", type=int, default=1000, help="trades a second (default 1000)")
    options.add_argument("--symbols", type=int, default=10, help="markets (default 10)")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the program")
    return options


if __name__ == "__main__":
    main(parser().parse_args())
