"""What open pages cost the stream: ``python -m tests.benchmarks.web [pages]``.

A worker counts a steady feed of 40 markets, each of which changes ten times a second, first unseen and then with so
many pages reading its stream (from a process of their own, which takes what they are sent and throws it away). A
worker is bound by one core, so the CPU time that pages take from it is the share of its throughput that they cost.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import aiohttp
import msgspec
from aiokafka import AIOKafkaProducer

from streams.embedded import EmbeddedPostgres
from streams.frames import decode_frame
from streams.topics import TRADES
from tests.benchmarks.fold import frames
from tests.conftest import new_database
from tests.view import HOST, View, ask

PAGES = 200
MARKETS = 40
FRAMES_PER_SECOND = 10
TRADES_PER_FRAME = 5
SECONDS = 20.0
SETTLE_SECONDS = 5.0


async def read(port: int, pages: int) -> None:
    """Read the stream of a worker so many times at once, until this process is ended."""

    async def page(session: aiohttp.ClientSession) -> None:
        async with session.get(f"http://{HOST}:{port}/api/stream") as response:
            async for _ in response.content.iter_any():
                pass

    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(page(session) for _ in range(pages)))


async def feed(address: str, stop: threading.Event) -> None:
    """Publish until told to stop."""
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=5)
    await producer.start()
    per_second = FRAMES_PER_SECOND * TRADES_PER_FRAME
    pattern = [decode_frame(value) for value in frames("M/USD", TRADES_PER_FRAME, 1000, per_second)]
    at = 0
    while not stop.is_set():
        for market in range(MARKETS):
            symbol = f"M{market}/USD"
            renamed = msgspec.structs.replace(pattern[at % len(pattern)], symbol=symbol)
            await producer.send(TRADES, msgspec.msgpack.encode(renamed), key=symbol.encode())
        at += 1
        await asyncio.sleep(1 / FRAMES_PER_SECOND)
    await producer.stop()


def cpu_share(pid: int) -> float:
    """Return how much of a core a process uses, all its threads."""

    def used() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, began = used(), time.perf_counter()
    time.sleep(SECONDS)
    return (used() - before) / (time.perf_counter() - began)


def main(pages: int) -> None:
    """Print the worker's share of a core, unseen and watched."""
    with tempfile.TemporaryDirectory() as name, EmbeddedPostgres(Path(name) / "postgres", durable=False) as postgres:
        database = new_database(postgres)
        with View(Path(name), database, MAX_FUTURE_SECONDS="100000000", LIQUIDATION_THRESHOLD_USD="1e12") as view:
            worker = view.start()
            stop = threading.Event()
            publisher = threading.Thread(target=lambda: asyncio.run(feed(view.broker.address, stop)))
            publisher.start()
            time.sleep(SETTLE_SECONDS)
            unseen = cpu_share(worker.pid)
            readers = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.web", "--read", str(worker.port), str(pages)]
            )
            try:
                time.sleep(SETTLE_SECONDS)
                watched = cpu_share(worker.pid)
                (row,) = ask(worker.port, "/api/workers", {"scope": "local"}).json["rows"]
                assert row["watchers"] == pages
            finally:
                readers.kill()
                readers.wait()
                stop.set()
                publisher.join()
    sys.stdout.write(
        f"{MARKETS} markets, {MARKETS * FRAMES_PER_SECOND} frames/s: unseen {unseen:.1%} of a core, "
        f"{pages} pages {watched:.1%}; the pages cost {watched - unseen:.1%}\n"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        asyncio.run(read(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else PAGES)
