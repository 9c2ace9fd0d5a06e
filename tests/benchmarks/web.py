"""What open pages cost the stream: ``python -m tests.benchmarks.web [pages] [overview|market]``.

A worker reads a backlog from a real Kafka as fast as it can: 40 markets in frames of 20 trades, counted, judged and
committed. In turns nobody looks, and so many pages read its stream: of the overview, or of markets, which ask for the
newest panes too. A turn's throughput is the trades it counted.

A worker is bound by one core, and no machine is equally fast all the time: so there are many turns, each watched one is
compared with the unseen one before it, trades a second are given beside trades a second of the worker's own CPU time,
and a turn in which other programs ran is measured once more.

The pages are in a process of their own, which takes what it is sent off its sockets and never copies it: browsers are
elsewhere, and here they would take from the broker and the worker the two cores that all three share. What remains
of that share is counted as the pages' cost. So that slow pages do not pass for cheap ones, the updates that one of them
was sent are printed.
"""

import asyncio
import http.client
import itertools
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from streams.broker import ensure_topics
from streams.embedded import EmbeddedPostgres
from streams.settings import load_settings
from tables.web.hub import poll_seconds
from tests.benchmarks.worker import MARKETS, publish
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka.server import HOST, RealKafka
from tests.machine import below, busy_seconds, cpu_seconds
from tests.view import ask

PAGES = 200
FRAME_TRADES = 20
FRAMES = 4_500_000
WARM_UP_SECONDS = 10.0
SETTLE_SECONDS = 1.0
TURN_SECONDS = 5.0
TURNS = 24
# Of a core. Kafka's and Postgres's own helpers and the kernel's threads take a few hundredths.
MOST_OTHERS = 0.15
MOST_TRIES = 2
RESAMPLES = 10_000
# Messages; a worker that has fewer before it is about to wait.
LEAST_LAG = 20_000
VENUE = "bench"
# How far back a market's page reads again, for trades that came late.
OVERLAP_SECONDS = 15


class Pages:
    """Readers of the stream in a process of their own, which is there all the time and opens them when told to."""

    def __init__(self, port: int, pages: int, kind: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.web", "--read", str(port), str(pages), kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def open(self) -> None:
        """Open all; return when each has been answered."""
        self._tell("open")

    def close(self) -> float:
        """Close all; return how many updates one of them was sent."""
        return float(self._tell("close"))

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def read(port: int, pages: int, kind: str) -> None:
    """Be that process: open and close pages as stdin says."""
    stop = threading.Event()
    for line in sys.stdin:
        if line == "open\n":
            stop = threading.Event()
            sockets = [opened(port) for _ in range(pages)]
            updates = [0]
            threading.Thread(target=drain, args=(sockets, stop, updates), daemon=True).start()
            if kind == "market":
                threading.Thread(target=ask_for_panes, args=(port, pages, stop), daemon=True).start()
            sys.stdout.write("opened\n")
        else:
            stop.set()
            sys.stdout.write(f"{updates[0]}\n")
        sys.stdout.flush()


def opened(port: int) -> socket.socket:
    """Open a page's stream; return when it is answered."""
    page = socket.create_connection((HOST, port))
    page.sendall(f"GET /api/stream HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
    page.recv(1)
    page.setblocking(False)
    return page


def drain(sockets: list[socket.socket], stop: threading.Event, updates: list[int]) -> None:
    """Take what pages are sent; count the updates of the first."""
    waiting = selectors.DefaultSelector()
    for number, page in enumerate(sockets):
        waiting.register(page, selectors.EVENT_READ, number)
    buffer = bytearray(1 << 20)
    while not stop.is_set():
        for key, _ in waiting.select(0.1):
            page = sockets[key.data]
            # On TCP this flag means: drop it, without a copy.
            count = page.recv_into(buffer, 0, 0 if key.data == 0 else socket.MSG_TRUNC)
            if count == 0:
                raise ConnectionError("the worker closed a page's stream")
            if page is sockets[0]:
                updates[0] += buffer.count(b"event: rows", 0, count)
    for page in sockets:
        page.close()


def ask_for_panes(port: int, pages: int, stop: threading.Event) -> None:
    """Ask for the newest panes of a market, as often as so many pages of markets do."""
    worker = http.client.HTTPConnection(HOST, port)
    due = time.monotonic()
    newest = 0
    for number in itertools.count():
        if stop.is_set():
            return
        query = {"venue": VENUE, "symbol": f"M{number % MARKETS}/USD", "from": max(0, newest - OVERLAP_SECONDS)}
        worker.request("GET", f"/api/panes?{urlencode(query)}")
        newest = json.loads(worker.getresponse().read())["newest_pane"]
        due += poll_seconds(pages) / pages
        time.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True)
class Turn:
    """What a worker did in a turn, a second: trades, trades by its CPU time, updates of a page; what others took."""

    rate: float
    per_cpu: float
    others: float
    updates: float = 0.0
    pages: int = 0


class Over(Exception):
    """The backlog has ended."""


def measured(worker: Process) -> Turn:
    """Measure a turn; again, a few times, where other programs took much of the machine meanwhile."""
    for _ in range(MOST_TRIES):
        own = [os.getpid(), *below(os.getpid())]
        busy, of_us, of_worker = busy_seconds(), cpu_seconds(own), cpu_seconds([worker.pid])
        counted, began = worker.metric("liqmon_trades_total"), time.perf_counter()
        time.sleep(TURN_SECONDS)
        counted = worker.metric("liqmon_trades_total") - counted
        seconds, used = time.perf_counter() - began, cpu_seconds([worker.pid]) - of_worker
        others = (busy_seconds() - busy - (cpu_seconds(own) - of_us)) / seconds
        if worker.metric("liqmon_consumer_lag_messages") < LEAST_LAG:
            raise Over
        if others < MOST_OTHERS:
            break
    return Turn(counted / seconds, counted / used, others=others)


def unseen(worker: Process) -> Turn:
    """Measure a turn in which nobody looks."""
    time.sleep(SETTLE_SECONDS)
    return measured(worker)


def watched(worker: Process, pages: Pages) -> Turn:
    """Measure a turn in which all pages are open."""
    began = time.perf_counter()
    pages.open()
    time.sleep(SETTLE_SECONDS)
    turn = measured(worker)
    (row,) = ask(worker.port, "/api/workers", {"scope": "local"}).json["rows"]
    seconds = time.perf_counter() - began
    return replace(turn, updates=pages.close() / seconds, pages=row["watchers"])


def main(pages: int, kind: str) -> None:
    """Print the turns, and what the pages cost."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        directory = Path(name)
        asyncio.run(ensure_topics(load_settings(kafka_bootstrap_servers=kafka.address)))
        asyncio.run(publish(kafka.address, FRAME_TRADES, FRAMES))
        with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "MAX_FUTURE_SECONDS": "100000000",
                "LIQUIDATION_THRESHOLD_USD": "1e12",
                **postgres.settings,
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker").start()
                wait_until(lambda: is_counting(worker), 60, "the worker to count")
                time.sleep(WARM_UP_SECONDS)
                readers = Pages(worker.port, pages, kind)
                sys.stdout.write(f"{kind} pages   trades/s   trades/CPU s   updates/s   others' cores\n")
                report(*turns(worker, readers))
                readers.stop()


def turns(worker: Process, pages: Pages) -> tuple[list[Turn], list[Turn]]:
    """Return the turns without pages and with them."""
    without: list[Turn] = []
    having: list[Turn] = []
    with suppress(Over):
        for _ in range(TURNS):
            without.append(shown(unseen(worker)))
            having.append(shown(watched(worker, pages)))
    return without, having


def shown(turn: Turn) -> Turn:
    """Print a turn and return it."""
    sys.stdout.write(
        f"{turn.pages:14} {turn.rate:10,.0f} {turn.per_cpu:14,.0f} {turn.updates:12.1f} {turn.others:16.2f}\n"
    )
    sys.stdout.flush()
    return turn


def report(without: list[Turn], having: list[Turn]) -> None:
    """Print the medians, and what the pages cost: each watched turn against the unseen one before it."""
    for name, figure in (("trades/s", "rate"), ("trades/CPU s", "per_cpu")):
        before, after = ([getattr(turn, figure) for turn in some] for some in (without, having))
        for kind, rates in (("unseen", before), ("watched", after)):
            sys.stdout.write(f"{kind:8} median {statistics.median(rates):9,.0f} {name}\n")
        costs = [1 - watched / unseen for unseen, watched in zip(before, after, strict=False)]
        low, high = interval(costs)
        sys.stdout.write(
            f"the pages cost {statistics.median(costs):.1%} of the {name} "
            f"(median of {len(costs)} pairs of turns; 95 % interval {low:.1%} to {high:.1%})\n"
        )


def interval(costs: list[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median of these costs (percentile bootstrap, Efron 1979; seeded)."""
    random = Random(1)
    medians = sorted(statistics.median(random.choices(costs, k=len(costs))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]


def is_counting(worker: Process) -> bool:
    """Whether the worker has begun with the backlog."""
    try:
        return worker.metric("liqmon_trades_total") > 0
    except OSError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        given = sys.argv[1:]
        main(int(given[0]) if given else PAGES, given[1] if given[1:] else "overview")
