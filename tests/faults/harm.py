"""What befalls workers, each time with the proof that it happened in the middle of work, and how it ended."""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlencode

from streams.topics import TRADES
from tables.market.chunks import offset_of
from tests.faults.exchange import Exchange
from tests.faults.feed import FUTURES_SYMBOLS, SPOT_SYMBOLS, Player
from tests.faults.judge import CHANGELOG, Verdict, judge
from tests.faults.processes import Process, http_get
from tests.faults.stack import Stack


@dataclass(frozen=True)
class Kill:
    """One kill. ``uncommitted`` counts messages that the worker had counted into windows and not committed.

    ``flushing`` says that state of such messages was in the changelog already. The kill fell between a flush and its
    commit, where a naive counter counts twice. ``sent`` is how many trades the feed had sent by then, ``at`` when it
    was, on the monotonic clock.
    """

    worker: str
    uncommitted: int
    flushing: bool
    sent: int
    at: float = field(repr=False)


async def applied(worker: Process, feed: Player) -> dict[int, int]:
    """Return, by partition, the last source offset that a worker has counted into the feed's markets it serves."""
    return await asyncio.to_thread(_applied, worker, feed.script.venues)


def _applied(worker: Process, venues: tuple[str, str]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for symbol in (*SPOT_SYMBOLS, *FUTURES_SYMBOLS):
        venue = venues[0] if symbol in SPOT_SYMBOLS else venues[1]
        query = urlencode({"venue": venue, "symbol": symbol, "scope": "local", "from": 4_000_000_000})
        status, body = http_get(worker.port, f"/api/panes?{query}")
        if status == 200:
            panes = json.loads(body)
            offsets[panes["partition"]] = max(panes["offset"], offsets.get(panes["partition"], -1))
    return offsets


async def kill(
    stack: Stack,
    feed: Player,
    worker: Process,
    random: Random,
    *,
    evicted: Sequence[Process] = (),
    latest: float = 1.0,
) -> Kill:
    """Kill a worker (SIGKILL) at a moment of its commit interval that the seed chooses, while trades flow.

    ``latest`` is the part of the interval the moment is chosen from.

    The broker is told at once that the ``evicted`` ones have left. Of the one killed that saves the 10 s until the
    broker would notice, and changes nothing else. A live one goes on for a while with partitions that others take.
    """
    await asyncio.sleep(random.random() * latest * stack.settings.commit_interval_seconds)
    assert feed.flowing
    try:
        counted = await applied(worker, feed)
    except OSError:
        counted = {}
    sent, at = len(feed.trades), time.monotonic()
    worker.kill()
    committed = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
    uncommitted = {partition: offset + 1 - committed[partition] for partition, offset in counted.items()}
    last = {partition: committed[partition] for partition, count in uncommitted.items() if count > 0}
    flushed = [
        entry
        for entry in await stack.ledger.read(CHANGELOG)
        if entry.partition in last and last[entry.partition] <= offset_of(entry.value) <= counted[entry.partition]
    ]
    if evicted:
        await stack.ledger.evict(*(gone.port for gone in evicted))
    lost = sum(max(0, count) for count in uncommitted.values())
    return Kill(worker.name, lost, flushing=bool(flushed), sent=sent, at=at)


async def just_committed(stack: Stack, feed: Player, timeout_seconds: float = 30) -> Process:
    """Return a worker that has just committed work of the feed: its next commit is an interval away."""
    deadline = time.monotonic() + timeout_seconds
    before = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
    while time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        now = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
        moved = {partition for partition in now if now[partition] > before[partition]}
        before = now
        for worker in stack.workers if moved else ():
            with contextlib.suppress(OSError):
                if worker.running and moved & (await applied(worker, feed)).keys():
                    return worker
    raise TimeoutError(f"no worker committed work of the feed in {timeout_seconds:g} s")


async def unfinished(stack: Stack, feed: Player, worker: Process, timeout_seconds: float = 30) -> dict[int, int]:
    """Wait until a worker has counted what is not committed; return what it has :func:`applied`."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            held = await applied(worker, feed)
            committed = await stack.ledger.committed(TRADES, range(stack.settings.topic_partitions))
            if any(offset >= committed[partition] for partition, offset in held.items()):
                return held
    raise TimeoutError(f"{worker.name} counted nothing of the feed in {timeout_seconds:g} s that was not committed")


async def served_again(stack: Stack, timeout_seconds: float = 60, *, since: float | None = None) -> float:
    """Return how long after ``since`` (default: now) every partition has moved past where it ends now."""
    began = time.monotonic() if since is None else since
    ends = await stack.ledger.ends(TRADES)
    while True:
        committed = await stack.ledger.committed(TRADES, ends)
        if all(committed[partition] >= end for partition, end in ends.items()):
            return time.monotonic() - began
        if time.monotonic() - began > timeout_seconds:
            raise TimeoutError(f"not served again after {timeout_seconds:g} s: {ends}, {committed}\n{stack.tails()}")
        await asyncio.sleep(0.1)


async def recovered(stack: Stack, exchange: Exchange) -> tuple[float, float, Verdict]:
    """See what was sent so far published and counted, then 300 trades more, and judge it all.

    Return after how many seconds the topic had what was sent, after how many more the workers had, and the verdict.
    """
    published = await exchange.published()
    served = await served_again(stack)
    await exchange.until_sent(300)
    await exchange.finish()
    await stack.drained()
    return published, served, await judge(stack, stack.sent, stack.script.venues)
