"""The latest row of every market, serialised once for all who watch.

A watcher remembers the revision that it has seen, and is given what is newer. A fast reader gets each change. A slow
reader gets the latest state. Nobody has a queue.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from tables.web.api.rows import MarketRow, Spark
from tables.web.worker import AlertRecord

MAX_ALERTS: Final = 200
"""As many as a page keeps (``static/source.js``)."""

# Bounds of memory only: what is not kept is composed for each watcher anew.
MAX_CACHED_EVENTS: Final = 64
MAX_CACHED_BYTES: Final = 32 * 1024**2

_encode: Final = msgspec.json.Encoder().encode


class Key(msgspec.Struct, frozen=True):
    """Says which market a row is of, and which of two rows is the later."""

    venue: str
    symbol: str
    owner: str = ""
    partition: int = -1
    offset: int = -1
    copied: float | None = None


class _Entry:
    __slots__ = ("key", "row", "row_revision", "spark", "spark_revision")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.row = b""
        self.row_revision = -1
        self.spark = b""
        self.spark_revision = -1


class Board:
    """Rows, sparklines, alerts and the state of the workers, each with the revision at which it last changed."""

    def __init__(self) -> None:
        self.revision = 0
        self.is_closed = False
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._alerts: deque[tuple[int, bytes]] = deque(maxlen=MAX_ALERTS)
        self._status = b""
        self._status_revision = -1
        self._is_changed = False
        self._changed = asyncio.Event()
        self._events: dict[tuple[int, str | None], bytes] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put_row(self, row: MarketRow) -> None:
        """Take over the row of a market that this worker serves."""
        self._put(Key(row.venue, row.symbol, row.owner, row.partition, row.offset), _encode(row))

    def put_peer_row(self, key: Key, raw: bytes, is_alive: Callable[[str], bool]) -> None:
        """Take over a row as another worker sent it, unless a worker that answers has sent a later one."""
        entry = self._entries.get((key.venue, key.symbol))
        known = entry.key if entry is not None else None
        if known is not None and known.owner != key.owner and known.offset > key.offset and is_alive(known.owner):
            return
        self._put(key, raw)

    def put_copy(self, row: MarketRow) -> None:
        """Take over a row whose owner does not answer, unless as much is known from a worker or a later copy."""
        entry = self._entries.get((row.venue, row.symbol))
        if entry is not None:
            known = entry.key
            known_at = math.inf if known.copied is None else known.copied
            if (known.offset, known_at) >= (row.offset, row.copied or 0.0):
                return
        self._put(Key(row.venue, row.symbol, row.owner, row.partition, row.offset, row.copied), _encode(row))

    def _put(self, key: Key, row: bytes) -> None:
        entry = self._entries.setdefault((key.venue, key.symbol), _Entry(key))
        entry.key = key
        entry.row = row
        entry.row_revision = self.revision + 1
        self._is_changed = True

    def put_spark(self, spark: Spark | Key, raw: bytes | None = None) -> None:
        """Take over a market's sparkline: of this worker, or as another one sent it."""
        entry = self._entries.get((spark.venue, spark.symbol))
        if entry is not None:
            entry.spark = _encode(spark) if raw is None else raw
            entry.spark_revision = self.revision + 1
            self._is_changed = True

    def put_alerts(self, alerts: Iterable[AlertRecord]) -> None:
        """Take over alerts' rows, new or changed, oldest first."""
        for alert in alerts:
            self._alerts.append((self.revision + 1, _encode(alert)))
            self._is_changed = True

    def put_status(self, status: msgspec.Struct) -> None:
        """Take over the state of the workers if it has changed."""
        encoded = _encode(status)
        if encoded != self._status:
            self._status = encoded
            self._status_revision = self.revision + 1
            self._is_changed = True

    def publish(self) -> None:
        """Show watchers what was put on the board."""
        if self._is_changed:
            self._is_changed = False
            self.revision += 1
            self._events.clear()
            self._cached_bytes = 0
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def forget_rows(self) -> None:
        """Drop all rows, since nobody watches and they grow old. The next watcher is given new ones only."""
        self._entries.clear()
        self._events.clear()
        self._cached_bytes = 0

    def close(self) -> None:
        """Let every watcher go: the server stops."""
        self.is_closed = True
        self._changed.set()

    async def wait(self, seen: int, seconds: float) -> None:
        """Return when there is something newer than ``seen``, or after ``seconds``."""
        if self.revision == seen and not self.is_closed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return

    def since(self, seen: int, owner: str | None = None) -> bytes:
        """Return what is newer than revision ``seen`` as server-sent events; only one owner's markets where given."""
        events = self._events.get((seen, owner))
        if events is None:
            events = self._compose(seen, owner)
            if len(self._events) < MAX_CACHED_EVENTS and self._cached_bytes + len(events) <= MAX_CACHED_BYTES:
                self._events[seen, owner] = events
                self._cached_bytes += len(events)
        return events

    def _compose(self, seen: int, owner: str | None) -> bytes:
        entries = [entry for entry in self._entries.values() if owner is None or entry.key.owner == owner]
        parts = []
        rows = [entry.row for entry in entries if entry.row_revision > seen]
        if rows:
            parts.append(event("rows", b"[%b]" % b",".join(rows)))
        sparks = [entry.spark for entry in entries if entry.spark_revision > seen]
        if sparks:
            parts.append(event("sparks", b"[%b]" % b",".join(sparks)))
        # Behind the rows: it says whether all of them have come.
        if self._status_revision > seen:
            parts.append(event("status", self._status))
        alerts = [alert for revision, alert in self._alerts if revision > seen]
        if alerts and owner is None:
            parts.append(event("alerts", b"[%b]" % b",".join(alerts)))
        return b"".join(parts)


def event(name: str, data: bytes) -> bytes:
    """Return one server-sent event; ``data`` is JSON on one line."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
