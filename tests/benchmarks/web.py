"""What open pages cost the stream: ``python -m tests.benchmarks.web [pages] [overview|market]``.

Two workers, each with a real Kafka of its own, read a backlog as fast as they can. It has 40 markets in frames of 20
trades, counted, judged and committed. In turns one of them has so many pages open and the other none. Pages show the
overview or markets, and those of markets ask for the newest panes too. A worker's throughput in a turn is the trades
it counted per second of its own CPU time. A worker is bound by one core, and here four busy processes share two.

No machine is equally fast all the time: one worker alone differed by a fifth from turn to turn. Two at the same moment
are slowed down alike. So the cost of a pair of turns is 1 - sqrt(A1/B1 * B2/A2), where A is watched in the first and B
in the second. What slows both down cancels out, and so does what makes one worker faster than the other.

The pages are in processes of their own, which take what they are sent off their sockets and never copy it: browsers are
elsewhere. So that slow pages do not pass for cheap ones, the updates that one of them was sent are printed.
"""

import asyncio
import http.client
import itertools
import json
import math
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from streams.kafka.admin import ensure_topics
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from tables.web.stream.hub import poll_seconds
from tests.benchmarks.worker import MARKETS, publish
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka.server import HOST, RealKafka
from tests.machine import cpu_seconds

PAGES = 200
FRAME_TRADES = 20
FRAMES = 2_000_000
WARM_UP_TRADES = 2_000_000
DEADLINE_SECONDS = 60.0
# What is measured is trades in so many seconds.
TURN_SECONDS = 5.0
PAIRS = 15
RESAMPLES = 10_000
# Messages; a worker that has fewer before it is about to wait.
LEAST_LAG = 20_000
VENUE = "bench"
# Unix seconds; the first question is only for the newest pane, since pages that are open have the older ones.
NEVER = 2**31
# How far back a market's page reads again, for trades that came late.
OVERLAP_SECONDS = 15


class Pages:
    """Readers of the stream in a process of their own, which is there all the time and opens them when told to."""

    def __init__(self, port: int, pages: int, kind: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.web", "--read", str(port), str(pages), kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def open(self) -> None:
        """Open all; return when each has been answered, and one has been sent an update."""
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
            updated = threading.Event()
            threading.Thread(target=drain, args=(sockets, stop, updates, updated), daemon=True).start()
            if kind == "market":
                threading.Thread(target=ask_for_panes, args=(port, pages, stop), daemon=True).start()
            if not updated.wait(DEADLINE_SECONDS):
                raise TimeoutError("a page was sent no update")
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


def drain(sockets: list[socket.socket], stop: threading.Event, updates: list[int], updated: threading.Event) -> None:
    """Take what pages are sent; count the updates of the first, and say when there is one."""
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
                if updates[0]:
                    updated.set()
    for page in sockets:
        page.close()


def ask_for_panes(port: int, pages: int, stop: threading.Event) -> None:
    """Ask for the newest panes of a market, as often as so many pages of markets do."""
    worker = http.client.HTTPConnection(HOST, port)
    due = time.monotonic()
    newest: dict[int, int] = {}
    for number in itertools.count():
        if stop.is_set():
            return
        market = number % MARKETS
        start = newest.get(market, NEVER) - OVERLAP_SECONDS
        # A backlog's event time flies; live, a page finds what has passed since it asked.
        end = start + OVERLAP_SECONDS + int(poll_seconds(pages))
        query = {"venue": VENUE, "symbol": f"M{market}/USD", "from": start, "to": end}
        worker.request("GET", f"/api/panes?{urlencode(query)}")
        newest[market] = json.loads(worker.getresponse().read())["newest_pane"]
        due += poll_seconds(pages) / pages
        time.sleep(max(0.0, due - time.monotonic()))


class Over(Exception):
    """The backlog has ended."""


@dataclass(frozen=True)
class Loaded:
    """A worker at its limit, and its pages."""

    worker: Process
    pages: Pages

    def reading(self) -> tuple[float, float]:
        """Return the trades counted and the CPU seconds taken so far. Raises :class:`Over`."""
        if self.worker.metric("liqmon_consumer_lag_messages") < LEAST_LAG:
            raise Over
        return self.worker.metric("liqmon_trades_total"), cpu_seconds([self.worker.pid])


@contextmanager
def loaded(directory: Path, pages: int, kind: str) -> Iterator[Loaded]:
    """Start a worker on a backlog of its own, with pages that are closed."""
    with RealKafka(directory / "kafka") as kafka, EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
        asyncio.run(ensure_topics(load_settings(kafka_bootstrap_servers=kafka.address)))
        asyncio.run(publish(kafka.address, FRAME_TRADES, FRAMES))
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "MAX_FUTURE_SECONDS": "100000000",
            "LIQUIDATION_THRESHOLD_USD": "1e12",
            # Half a second of work each 10 s, in some turns and not in others.
            "STATS_INTERVAL_SECONDS": "3600",
            **postgres.settings,
        }
        with Processes(directory, environment) as processes:
            worker = processes.worker("worker")
            readers = Pages(worker.port, pages, kind)
            try:
                yield Loaded(worker, readers)
            finally:
                readers.stop()


def turn(watched: Loaded, unseen: Loaded) -> float:
    """Return the throughput of a watched worker by that of one that nobody looks at, in the same seconds."""
    began = time.perf_counter()
    watched.pages.open()
    before = [one.reading() for one in (watched, unseen)]
    time.sleep(TURN_SECONDS)
    after = [one.reading() for one in (watched, unseen)]
    updates = watched.pages.close() / (time.perf_counter() - began)
    with_pages, without = (
        (trades - earlier_trades) / (used - earlier_used)
        for (trades, used), (earlier_trades, earlier_used) in zip(after, before, strict=True)
    )
    sys.stdout.write(f"{with_pages:12,.0f} {without:12,.0f} {updates:12.1f}\n")
    sys.stdout.flush()
    return with_pages / without


def main(pages: int, kind: str) -> None:
    """Print the turns, and what the pages cost."""
    with (
        tempfile.TemporaryDirectory() as name,
        loaded(Path(name) / "one", pages, kind) as one,
        loaded(Path(name) / "other", pages, kind) as other,
    ):
        for each in (one, other):
            each.worker.start()
        for each in (one, other):
            wait_until(partial(is_warm, each.worker), DEADLINE_SECONDS, "the worker to be warm")
        sys.stdout.write(f"trades by CPU second with {pages} {kind} pages, without, updates/s of a page\n")
        costs: list[float] = []
        with suppress(Over):
            while len(costs) < PAIRS:
                costs += [1 - math.sqrt(turn(one, other) * turn(other, one))]
    low, high = interval(costs)
    sys.stdout.write(
        f"the pages cost {statistics.median(costs):.1%} of the throughput "
        f"(median of {len(costs)} pairs of turns; 95 % interval {low:.1%} to {high:.1%})\n"
    )


def interval(costs: list[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median of these costs (percentile bootstrap, Efron 1979; seeded)."""
    random = Random(1)
    medians = sorted(statistics.median(random.choices(costs, k=len(costs))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]


def is_warm(worker: Process) -> bool:
    """Whether the worker has worked on the backlog for a while."""
    try:
        return worker.metric("liqmon_trades_total") > WARM_UP_TRADES
    except OSError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        given = sys.argv[1:]
        main(int(given[0]) if given else PAGES, given[1] if given[1:] else "overview")
