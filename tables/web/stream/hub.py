"""Keeps the board current while someone watches: own markets within a budget, other workers by their own streams."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Final

import msgspec

from streams.errors import Outage
from tables.market.chunk import CHUNK_PANES
from tables.market.rolling import Rolling
from tables.serving import ServedMarkets
from tables.web.cluster.copies import Copies
from tables.web.cluster.local import LocalRows
from tables.web.cluster.replicas import Cluster
from tables.web.stream.board import Board
from tables.web.stream.peers import Peers
from tables.web.stream.recent_alerts import ALERTS_SECONDS, RecentAlerts
from tables.web.worker import Worker

log = logging.getLogger(__name__)

# A few times a second is what the eye follows. With many watchers or much to compute, pages become slower, not trades.
# A page that changes less often than each few seconds seems to stand still.
FASTEST_SECONDS: Final = 0.25
SLOWEST_SECONDS: Final = 3.0
# Of the loop's time: updates, and the questions of markets' pages. Together they stay below the 5 % that open pages may
# cost the stream, with room for what the kernel adds. tests/benchmarks/web.py measures it.
SHARE_OF_TIME: Final = 0.015
# Measured: waking a watcher and handing it an event of a few kilobytes.
SECONDS_PER_WATCHER: Final = 100e-6
# Measured: answering a market's page that asks for its newest panes.
SECONDS_PER_POLL: Final = 800e-6
POLL_SHARE: Final = 0.0125
# After an error that may come again with each turn: it is logged each time.
RETRY_SECONDS: Final = 3.0
# Of one turn: some 400 rows. What does not fit has its turn in the next.
BUDGET_SECONDS: Final = 0.008
# Rows that no one has seen yet are made faster than the rest, so that a page fills quickly.
FILLING_SECONDS: Final = 0.05
FILLING_SHARE: Final = 0.2

# How long the board is kept current with nobody watching, so that a page that is reloaded is filled at once.
IDLE_SECONDS: Final = 15.0
# A copy changes only where its owner lives and does not answer here.
COPIES_SECONDS: Final = 1.0
COPIES_SHARE: Final = 0.05


class PeerState(msgspec.Struct):
    """Another worker as the stream shows it."""

    url: str
    answering: bool
    partitions: list[int]


class Status(msgspec.Struct):
    """The state of the workers and of Postgres, as this worker sees it. ``here`` is its own address."""

    here: str
    ready: bool
    alerts_available: bool
    workers: list[PeerState]
    notes: list[str]
    poll_seconds: Annotated[float, msgspec.Meta(description="how often a market's page should ask for new panes")]
    filled: Annotated[bool, msgspec.Meta(description="whether a row of each market of this worker was sent")]
    whole: Annotated[
        bool, msgspec.Meta(description="whether a row of each market of all workers was sent, and none is a copy")
    ]


def poll_seconds(pages: int) -> float:
    """Return how often each of so many pages should ask for new panes, in whole seconds."""
    return float(max(1, math.ceil(pages * SECONDS_PER_POLL / POLL_SHARE)))


class Hub:
    """The board and the work that keeps it current. Nothing runs while nobody watches."""

    def __init__(
        self, worker: Worker, served: ServedMarkets, local: LocalRows, cluster: Cluster, copies: Copies
    ) -> None:
        self.board = Board()
        self._peers = Peers(cluster, self.board)
        self._copies = copies
        self.pages = 0
        self.followers = 0
        self._worker = worker
        self._served = served
        self._local = local
        self._cluster = cluster
        self._alerts = RecentAlerts(worker.alerts, self.board, worker.now)
        self._versions: dict[Rolling, int] = {}
        self._sparks: dict[Rolling, int] = {}
        self._queue: deque[tuple[int, Rolling]] = deque()
        self._beside: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def watchers(self) -> int:
        """How many streams are open, of pages and of other workers."""
        return self.pages + self.followers

    def open(self, *, follower: bool) -> None:
        """Count one more stream. A follower is another worker: it wants own markets only."""
        if follower:
            self.followers += 1
        else:
            self.pages += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run_while_watched())

    def close(self, *, follower: bool) -> None:
        """Count one stream less."""
        if follower:
            self.followers -= 1
        else:
            self.pages -= 1

    async def stop(self) -> None:
        """Stop all work and let every watcher go."""
        self.board.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run_while_watched(self) -> None:
        await self._run()
        # A watcher that came while the work ended did not start it again.
        while self.watchers:
            await self._run()

    async def _run(self) -> None:
        watched = time.monotonic()
        viewed = -math.inf
        try:
            while (now := time.monotonic()) - watched < IDLE_SECONDS:
                watched = now if self.watchers else watched
                viewed = now if self.pages else viewed
                if not self.watchers:
                    await asyncio.sleep(FASTEST_SECONDS)
                    continue
                try:
                    # Without a page, workers that follow each other would keep each other busy for ever.
                    await self._turn_once(is_viewed=now - viewed < IDLE_SECONDS)
                except Exception:
                    # If this ended, open pages would show old rows as if they were live.
                    log.exception("the web view could not be brought up to date; trying again")
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.board.forget_rows()
            await self._look_away()
            self._versions.clear()
            self._sparks.clear()
            self._queue.clear()
            self._served.forget()

    async def _turn_once(self, *, is_viewed: bool) -> None:
        """Bring the board up to date, then rest for as long as that was costly."""
        began = time.perf_counter()
        await self._served.load()
        filling = self._refresh()
        if is_viewed:
            self._look_around()
        else:
            await self._look_away()
        self.board.put_status(self._status(is_filled=not filling))
        self.board.publish()
        cost = time.perf_counter() - began + self.watchers * SECONDS_PER_WATCHER
        share, fastest = (FILLING_SHARE, FILLING_SECONDS) if filling else (SHARE_OF_TIME, FASTEST_SECONDS)
        await asyncio.sleep(min(max(cost / share, fastest), SLOWEST_SECONDS))

    def _look_around(self) -> None:
        """Follow alerts, other workers, and the copies of those that do not answer."""
        if not self._beside:
            self._beside = [asyncio.create_task(self._keep_at(ALERTS_SECONDS, self._alerts.take))]
            if self._copies.is_configured:
                self._beside.append(asyncio.create_task(self._keep_at(COPIES_SECONDS, self._take_copies)))
        self._peers.follow()

    async def _look_away(self) -> None:
        beside, self._beside = self._beside, []
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self._alerts.forget()
        await self._peers.stop()

    def _refresh(self) -> bool:
        """Bring rows of own markets up to date, in turn, while the budget lasts; return whether some are still new."""
        rollings = self._served.rollings()
        if len(self._queue) != len(rollings) or {rolling for _, rolling in self._queue} != {r for _, r in rollings}:
            self._queue = deque(rollings)
            current = {rolling for _, rolling in rollings}
            self._versions = {rolling: v for rolling, v in self._versions.items() if rolling in current}
            self._sparks = {rolling: v for rolling, v in self._sparks.items() if rolling in current}
        began = time.perf_counter()
        for _ in range(len(self._queue)):
            if time.perf_counter() - began > BUDGET_SECONDS:
                break
            partition, rolling = self._queue[0]
            self._queue.rotate(-1)
            rolling.poll()
            if self._versions.get(rolling) != rolling.version:
                self.board.put_row(self._local.market_row(partition, rolling))
                self._versions[rolling] = rolling.version
                # Readers add points of their own to a sparkline; it is sent anew when a chunk of panes is whole.
                chunk = rolling.market.watermark // CHUNK_PANES
                if self._sparks.get(rolling) != chunk:
                    self.board.put_spark(self._local.spark(rolling))
                    self._sparks[rolling] = chunk
        return len(self._versions) < len(self._queue)

    def _status(self, *, is_filled: bool) -> Status:
        here = self._cluster.here
        workers = [
            PeerState(url, not self._peers.is_silent(url), partitions)
            for url, partitions in self._cluster.partitions().items()
        ]
        instead = "old, or copies from Redis" if self._copies.available else "old or missing"
        notes = [f"{worker.url} does not answer; its rows are {instead}" for worker in workers if not worker.answering]
        notes += [
            f"{url} does not say which windows its rows hold; they are left out"
            for url in sorted(self._peers.unreadable)
        ]
        if not self._alerts.available:
            notes.append("Postgres does not answer: alerts are missing")
        if self._worker.is_rebalancing:
            notes.append("partitions are moving between workers")
        ready = not self._served.lacking
        filled = ready and is_filled
        whole = filled and self._peers.are_filled and self._served_partitions().issuperset(self._all_partitions())
        return Status(here, ready, self._alerts.available, workers, notes, poll_seconds(self.pages), filled, whole)

    async def _keep_at(self, pause: float, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step every so many seconds. One that fails is logged, and taken again."""
        while True:
            try:
                await step()
            except Exception:
                log.exception("the web view lacks something; trying again")
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(pause)

    async def _take_copies(self) -> None:
        """Put the copies in Redis on the board, of partitions that nobody serves."""
        served = self._served_partitions()
        for partition in self._all_partitions():
            if partition not in served and self._copies.available:
                with suppress(Outage):
                    await self._take_copies_of(partition)

    async def _take_copies_of(self, partition: int) -> None:
        began = time.perf_counter()
        async for copies in self._copies.read(partition):
            for copy in copies:
                self.board.put_copy(self._copies.market_row(copy))
            await asyncio.sleep((time.perf_counter() - began) / COPIES_SHARE)
            began = time.perf_counter()

    def _all_partitions(self) -> range:
        return range(self._worker.settings.topic_partitions)

    def _served_partitions(self) -> set[int]:
        """Return the partitions whose worker answers and has them."""
        serving = {*self._peers.serving, *((self._cluster.here,) if not self._served.lacking else ())}
        return {
            partition
            for url, partitions in self._cluster.partitions().items()
            if url in serving
            for partition in partitions
        }
