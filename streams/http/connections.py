"""Keeps a server's connections few and young, so that who holds many open shuts nobody out."""

import asyncio
from typing import Final, Protocol

from streams import metrics

HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take, from its first byte, or from the connection's opening."""

# Longer than clients and proxies keep a connection: aiohttp 15 s, nginx 60 s. So they are the ones who close it.
IDLE_SECONDS: Final = 75.0
# As for a stream whose reader takes nothing.
STALLED_SECONDS: Final = 30.0
# One look takes a microsecond a connection.
LOOK_SECONDS: Final = 1.0


class Connection(Protocol):
    """What the registry needs of a connection."""

    def unsent(self) -> int:
        """Return how many bytes the client has not taken yet."""
        ...

    def drop(self) -> None:
        """Give the descriptor back at once, whatever is still to be sent."""
        ...


class _Waiting:
    __slots__ = ("closes_at", "is_asking", "reason")

    def __init__(self, closes_at: float, reason: str) -> None:
        self.closes_at = closes_at
        self.is_asking = False
        self.reason = reason


class _Answering:
    __slots__ = ("since", "unsent")

    def __init__(self) -> None:
        self.unsent = 0
        self.since = 0.0


class Connections:
    """The connections of one server, at most ``most``.

    A new one beyond that takes the place of the one that has waited longest for a request. Where none waits it takes
    that of a stalled one: its client takes nothing of its answer. Where all are at work it is closed itself.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # Both in the order in which they began.
        self._waiting: dict[Connection, _Waiting] = {}
        self._answering: dict[Connection, _Answering] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._answering)

    def start(self) -> None:
        """Look at all of them every second, in the running loop."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def opened(self, connection: Connection) -> None:
        """Take a new connection in, and end another, or itself, where there is no room."""
        now = asyncio.get_running_loop().time()
        has_room = len(self) < self.most or self._make_room()
        self._waiting[connection] = _Waiting(now + HEAD_SECONDS, "head")
        if not has_room:
            self._drop(connection, "full")
        metrics.web_connections.set(len(self))

    def asks(self, connection: Connection) -> None:
        """Note that bytes have come that are no whole head yet: from the first of them on its time runs."""
        state = self._waiting.get(connection)
        if state is not None and not state.is_asking:
            state.is_asking = True
            state.closes_at = min(state.closes_at, asyncio.get_running_loop().time() + HEAD_SECONDS)
            state.reason = "head"

    def has_asked(self, connection: Connection) -> None:
        """Note that a request has come, which is answered now."""
        if self._waiting.pop(connection, None) is not None:
            self._answering[connection] = _Answering()

    def is_answered(self, connection: Connection) -> None:
        """Note that it waits for the next request."""
        if self._answering.pop(connection, None) is not None:
            self._waiting[connection] = _Waiting(asyncio.get_running_loop().time() + IDLE_SECONDS, "idle")

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._waiting.pop(connection, None)
        self._answering.pop(connection, None)
        metrics.web_connections.set(len(self))

    def _make_room(self) -> bool:
        for connection in self._waiting:
            self._drop(connection, "room")
            return True
        stalled = {connection: state.since for connection, state in self._answering.items() if state.unsent}
        if not stalled:
            return False
        self._drop(min(stalled, key=stalled.__getitem__), "room")
        return True

    def _drop(self, connection: Connection, reason: str) -> None:
        self.closed(connection)
        metrics.web_connections_closed.labels(reason).inc()
        connection.drop()

    def _look(self) -> None:
        self.start()
        now = asyncio.get_running_loop().time()
        for connection, waiting in list(self._waiting.items()):
            if now >= waiting.closes_at:
                self._drop(connection, waiting.reason)
        for connection, answering in list(self._answering.items()):
            unsent = connection.unsent()
            if not unsent or not answering.unsent or unsent < answering.unsent:
                answering.since = now
            answering.unsent = unsent
            if unsent and now - answering.since >= STALLED_SECONDS:
                self._drop(connection, "stalled")
