"""Keeps the board current while someone watches: own markets within a budget, other workers by their own streams."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from streams.errors import Outage
from tables.chunks import CHUNK_PANES
from tables.web.board import Board, Key
from tables.web.cluster import PEER_SECONDS, Cluster
from tables.web.local import LocalMarkets
from tables.web.rolling import Rolling

log = logging.getLogger(__name__)

# A few times a second is what the eye follows; many watchers or much to compute make it slower, never the stream.
FASTEST_SECONDS: Final = 0.25
SLOWEST_SECONDS: Final = 2.0
SHARE_OF_TIME: Final = 0.025
# Measured: waking a watcher and handing it an event of a few kilobytes.
SECONDS_PER_WATCHER: Final = 80e-6
BUDGET_SECONDS: Final = 0.008
# Rows that no one has seen yet are made faster than the rest, so that a page fills quickly.
FILLING_SECONDS: Final = 0.05

ALERTS_SECONDS: Final = 0.5
# A row is visible when its transaction commits, later than its time says.
ALERTS_OVERLAP: Final = timedelta(seconds=15)
RECENT_ALERTS: Final = 50
IDLE_SECONDS: Final = 15.0
PEER_RETRY_SECONDS: Final = 1.0
PEER_SILENCE_SECONDS: Final = 12.0
MAX_LINE_BYTES: Final = 32 * 1024**2


class AlertHistory(Protocol):
    """Where alerts' rows come from. All raise :class:`streams.errors.Outage` when Postgres does not answer."""

    row_type: type[msgspec.Struct]

    async def find(
        self,
        *,
        venue: str | None,
        symbol: str | None,
        rules: Sequence[str],
        severities: Sequence[str],
        since: int | None,
        until: int | None,
        limit: int,
    ) -> list[Any]:
        """Return alerts, newest first; what is None or empty takes all."""
        ...

    async def latest(self, limit: int) -> list[Any]:
        """Return the latest alerts, newest first."""
        ...

    async def changed_since(self, moment: datetime) -> list[Any]:
        """Return alerts recorded, brought up to date or delivered since ``moment``, oldest change first."""
        ...


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


class Hub:
    """The board and the work that keeps it current. Nothing runs while nobody watches."""

    def __init__(self, app: Any, local: LocalMarkets, cluster: Cluster, history: AlertHistory) -> None:
        self.board = Board()
        self.watchers = 0
        self._app = app
        self._local = local
        self._cluster = cluster
        self._history = history
        self._versions: dict[Rolling, int] = {}
        self._sparks: dict[Rolling, int] = {}
        self._turn: deque[tuple[int, Rolling]] = deque()
        self._peers: dict[str, asyncio.Task[None]] = {}
        self._answering: set[str] = set()
        self._alerts_available = True
        self._seen_alerts: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Count one more watcher."""
        self.watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Count one watcher less."""
        self.watchers -= 1

    async def stop(self) -> None:
        """Stop all work and let every watcher go."""
        self.board.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        alerts = asyncio.create_task(self._follow_alerts())
        idle_since: float | None = None
        try:
            while idle_since is None or time.monotonic() - idle_since < IDLE_SECONDS:
                idle_since = None if self.watchers else (idle_since or time.monotonic())
                began = time.perf_counter()
                await self._local.load()
                filling = self._refresh()
                self._follow_peers()
                self.board.put_status(self._status())
                self.board.publish()
                cost = time.perf_counter() - began + self.watchers * SECONDS_PER_WATCHER
                pause = min(max(cost / SHARE_OF_TIME, FASTEST_SECONDS), SLOWEST_SECONDS)
                await asyncio.sleep(FILLING_SECONDS if filling else pause)
        except Exception:
            log.exception("the web view's stream stopped; the next watcher starts it again")
        finally:
            tasks = [alerts, *self._peers.values()]
            self._peers.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._answering.clear()
            self._versions.clear()
            self._sparks.clear()
            self._turn.clear()
            self._local.forget()

    def _refresh(self) -> bool:
        """Bring rows of own markets up to date, in turn, while the budget lasts; return whether some are still new."""
        rollings = self._local.rollings()
        if len(self._turn) != len(rollings) or {rolling for _, rolling in self._turn} != {r for _, r in rollings}:
            self._turn = deque(rollings)
            current = {rolling for _, rolling in rollings}
            self._versions = {rolling: v for rolling, v in self._versions.items() if rolling in current}
            self._sparks = {rolling: v for rolling, v in self._sparks.items() if rolling in current}
        began = time.perf_counter()
        for _ in range(len(self._turn)):
            if time.perf_counter() - began > BUDGET_SECONDS:
                break
            partition, rolling = self._turn[0]
            self._turn.rotate(-1)
            rolling.poll()
            if self._versions.get(rolling) != rolling.version:
                self.board.put_row(self._local.market_row(partition, rolling))
                self._versions[rolling] = rolling.version
                # Readers add points of their own to a sparkline; it is sent anew when a chunk of panes is whole.
                chunk = rolling.market.watermark // CHUNK_PANES
                if self._sparks.get(rolling) != chunk:
                    self.board.put_spark(self._local.spark(rolling))
                    self._sparks[rolling] = chunk
        return len(self._versions) < len(self._turn)

    def _status(self) -> Status:
        here = self._cluster.here
        workers = [
            PeerState(url, url == here or url in self._answering, partitions)
            for url, partitions in self._cluster.partitions().items()
        ]
        notes = [f"{worker.url} does not answer; its rows are old" for worker in workers if not worker.answering]
        if not self._alerts_available:
            notes.append("Postgres does not answer: alerts are missing")
        if self._app.rebalancing:
            notes.append("partitions are moving between workers")
        ready = not self._app.rebalancing and bool(self._app.tables.actives_ready)
        return Status(here, ready, self._alerts_available, workers, notes)

    def is_alive(self, url: str) -> bool:
        """Whether a worker is this one, or one that answers."""
        return url == self._cluster.here or url in self._answering

    # Other workers

    def _follow_peers(self) -> None:
        peers = set(self._cluster.peers())
        for url in [url for url in self._peers if url not in peers]:
            self._peers.pop(url).cancel()
            self._answering.discard(url)
        for url in peers - self._peers.keys():
            self._answering.add(url)
            self._peers[url] = asyncio.create_task(self._follow_peer(url))

    async def _follow_peer(self, url: str) -> None:
        """Read another worker's own rows as it streams them, for as long as it is in the group."""
        while True:
            try:
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=PEER_SECONDS, sock_read=PEER_SILENCE_SECONDS)
                session = self._cluster.session()
                async with session.get(f"{url}/api/stream", params={"scope": "local"}, timeout=timeout) as response:
                    if response.status == 200:
                        self._answering.add(url)
                        await read_events(response.content, self._take)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
                log.debug("the stream of %s ended: %r", url, error)
            self._answering.discard(url)
            await asyncio.sleep(PEER_RETRY_SECONDS)

    async def _take(self, name: str, data: bytes) -> None:
        if name == "rows":
            for raw in msgspec.json.decode(data, type=list[msgspec.Raw]):
                self.board.put_peer_row(msgspec.json.decode(raw, type=Key), bytes(raw), self.is_alive)
        elif name == "sparks":
            for raw in msgspec.json.decode(data, type=list[msgspec.Raw]):
                self.board.put_spark(msgspec.json.decode(raw, type=Key), bytes(raw))

    # Alerts

    async def _follow_alerts(self) -> None:
        """Put new and changed alerts on the board; any worker's, since all are rows in Postgres."""
        moment: datetime | None = None
        while True:
            asked = datetime.now(UTC)
            try:
                if moment is None:
                    alerts = list(reversed(await self._history.latest(RECENT_ALERTS)))
                else:
                    alerts = await self._history.changed_since(moment - ALERTS_OVERLAP)
                moment = asked
                self._alerts_available = True
            except Outage:
                alerts = []
                self._alerts_available = False
            self.board.put_alerts(alert for alert in alerts if self._is_news(alert))
            await asyncio.sleep(ALERTS_SECONDS)

    def _is_news(self, alert: Any) -> bool:
        key = (alert.rule, alert.venue, alert.symbol, alert.pane)
        state = (alert.revision, alert.delivery, alert.alert_severity)
        if self._seen_alerts.get(key) == state:
            return False
        self._seen_alerts.pop(key, None)
        self._seen_alerts[key] = state
        while len(self._seen_alerts) > 5000:
            del self._seen_alerts[next(iter(self._seen_alerts))]
        return True


async def read_events(content: aiohttp.StreamReader, take: Callable[[str, bytes], Awaitable[None]]) -> None:
    """Call ``take`` with the name and data of each server-sent event, until the stream ends.

    Raises :class:`ValueError` for a line that is longer than any this program sends.
    """
    buffer = b""
    async for chunk in content.iter_any():
        buffer += chunk
        if len(buffer) > MAX_LINE_BYTES:
            raise ValueError("an event without an end")
        *events, buffer = buffer.split(b"\n\n")
        for one in events:
            fields = dict(line.partition(b": ")[::2] for line in one.split(b"\n") if not line.startswith(b":"))
            if b"event" in fields:
                await take(fields[b"event"].decode(), fields.get(b"data", b""))
