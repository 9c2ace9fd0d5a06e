"""What open pages cost the stream: ``python -m tests.benchmarks.web [pages]``.

A worker counts a backlog of frames of 20 trades of 40 markets, alternately alone and with so many pages reading its
stream (from a process of their own, which takes what they are sent and throws it away). A worker is bound by its one
core, so what counts is trades per second of its CPU time: other programs on the machine change that least.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

from streams.broker import ensure_topics
from streams.embedded import EmbeddedPostgres
from streams.settings import load_settings
from tests.benchmarks.worker import publish, timed
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka.server import RealKafka
from tests.view import ask

PAGES = 200
ROUNDS = 3
FRAME = 20
FRAMES = 60_000


async def read(port: int, pages: int) -> None:
    """Read the stream of a worker so many times at once, from before it listens until it is gone."""

    async def page(session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/api/stream") as response:
                    async for _ in response.content.iter_any():
                        pass
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)

    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(page(session) for _ in range(pages)))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pages: int) -> float:
    """Return trades a CPU second with so many pages open."""
    with tempfile.TemporaryDirectory() as name, RealKafka(Path(name) / "kafka") as kafka:
        directory = Path(name)
        asyncio.run(ensure_topics(load_settings(kafka_bootstrap_servers=kafka.address)))
        trades = asyncio.run(publish(kafka.address, FRAME, FRAMES))
        with EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "MAX_FUTURE_SECONDS": "100000000",
                "LIQUIDATION_THRESHOLD_USD": "1e12",
                **postgres.settings,
            }
            with Processes(directory, environment) as processes:
                worker = processes.worker("worker")
                readers = None
                if pages:
                    command = [sys.executable, "-m", "tests.benchmarks.web", "--read", str(worker.port), str(pages)]
                    readers = subprocess.Popen(command)
                try:
                    worker.start()
                    wait_until(lambda: seen(worker) > 0, 60, "the first trades")
                    before, used = seen(worker), cpu_seconds(worker.pid)
                    timed(worker, trades)
                    used = cpu_seconds(worker.pid) - used
                    (row,) = ask(worker.port, "/api/workers", {"scope": "local"}).json["rows"]
                    assert row["watchers"] == pages
                finally:
                    if readers is not None:
                        readers.kill()
                        readers.wait()
    return (trades - before) / used


def seen(worker: Process) -> float:
    """Return the trades counted so far; none while the worker does not answer yet."""
    try:
        return worker.metric("liqmon_trades_total")
    except OSError:
        return 0.0


def main(pages: int) -> None:
    """Print each round and the loss."""
    alone, watched = [], []
    for _ in range(ROUNDS):
        alone.append(measure(0))
        watched.append(measure(pages))
        sys.stdout.write(f"alone {alone[-1]:10,.0f} trades/CPU s    {pages} pages {watched[-1]:10,.0f}\n")
        sys.stdout.flush()
    sys.stdout.write(f"loss {1 - max(watched) / max(alone):.1%}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        asyncio.run(read(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else PAGES)
