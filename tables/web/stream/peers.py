"""The other workers' own rows, as each streams them, taken over to the board."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import msgspec

from tables.web.cluster.replicas import HTTP, PEER_SECONDS, Cluster
from tables.web.stream.board import Board, Key
from tables.web.stream.peer_rows import PeerHello, PeerKey, in_own_order

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Before a worker that did not answer is asked again. Its rows are marked meanwhile, so this may be short."""

SILENCE_SECONDS: Final = 12.0
"""Three times as long as a stream is ever quiet (``QUIET_SECONDS`` of :mod:`tables.web.stream.handler`)."""

MAX_EVENT_BYTES: Final = 32 * 1024**2
"""The first event holds a row of each market: 20 000 of 1.2 KB with four windows are 24 MB."""

ROWS_BETWEEN_TURNS: Final = 200
"""Measured: taking so many rows over takes 1 to 3 ms."""


class _Ready(msgspec.Struct):
    ready: bool
    filled: bool = True


class Peers:
    """Follows every other worker for as long as it is in the group.

    ``answering`` are those whose stream is open. ``serving`` are those of them that have what is assigned to them.
    ``filled`` are those that have sent a row of each of their markets; one of an earlier release does not say so.
    ``unreadable`` are those whose rows do not say which windows they hold.
    """

    def __init__(self, cluster: Cluster, board: Board) -> None:
        self.answering: set[str] = set()
        self.serving: set[str] = set()
        self.filled: set[str] = set()
        self.unreadable: set[str] = set()
        self._cluster = cluster
        self._board = board
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hellos: dict[str, PeerHello] = {}

    def follow(self) -> None:
        """Begin to follow new workers, and stop following those that have left."""
        peers = set(self._cluster.peers())
        for url in [url for url in self._tasks if url not in peers]:
            self._tasks.pop(url).cancel()
            self._silent(url)
        for url in peers - self._tasks.keys():
            self.answering.add(url)
            self.serving.add(url)
            self._tasks[url] = asyncio.create_task(self._follow(url))

    async def stop(self) -> None:
        """Stop following every worker."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.answering.clear()
        self.serving.clear()
        self.filled.clear()
        self.unreadable.clear()
        self._hellos.clear()

    def is_alive(self, url: str) -> bool:
        """Whether a worker is this one, or one that answers."""
        return url == self._cluster.here or url in self.answering

    @property
    def are_filled(self) -> bool:
        """Whether every worker that is followed has sent all its markets."""
        return self.filled.issuperset(self._tasks)

    def is_silent(self, url: str) -> bool:
        """Whether a worker is followed and does not answer."""
        return url in self._tasks and url not in self.answering

    def _silent(self, url: str) -> None:
        self.answering.discard(url)
        self.serving.discard(url)
        self.filled.discard(url)
        self.unreadable.discard(url)
        self._hellos.pop(url, None)

    async def _follow(self, url: str) -> None:
        async def take(name: str, data: bytes) -> None:
            await self._take(url, name, data)

        while True:
            try:
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=PEER_SECONDS, sock_read=SILENCE_SECONDS)
                async with self._cluster.ask(url, "/api/stream", {"scope": "local"}, timeout) as response:
                    if response.status == 200:
                        self.answering.add(url)
                        await read_events(response.content, take)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is followed again
                log.debug("the stream of %s ended: %s", url, HTTP.notice(error))
            self._silent(url)
            await asyncio.sleep(RETRY_SECONDS)

    async def _take(self, url: str, name: str, data: bytes) -> None:
        if name == "hello":
            self._hellos[url] = msgspec.json.decode(data, type=PeerHello)
        elif name == "rows":
            for number, raw in enumerate(msgspec.json.decode(data, type=list[msgspec.Raw])):
                if number % ROWS_BETWEEN_TURNS == ROWS_BETWEEN_TURNS - 1:
                    await asyncio.sleep(0)
                self._take_row(url, bytes(raw))
        elif name == "sparks":
            for raw in msgspec.json.decode(data, type=list[msgspec.Raw]):
                self._board.put_spark(msgspec.json.decode(raw, type=Key), bytes(raw))
        elif name == "status":
            told = msgspec.json.decode(data, type=_Ready)
            (self.serving.add if told.ready else self.serving.discard)(url)
            (self.filled.add if told.filled else self.filled.discard)(url)

    def _take_row(self, url: str, raw: bytes) -> None:
        key = msgspec.json.decode(raw, type=PeerKey)
        row = in_own_order(raw, key, self._hellos.get(url))
        if row is None:
            self.unreadable.add(url)
        else:
            self._board.put_peer_row(key, row, self.is_alive)


async def read_events(content: aiohttp.StreamReader, take: Callable[[str, bytes], Awaitable[None]]) -> None:
    """Call ``take`` with the name and data of each server-sent event, until the stream ends.

    Raises :class:`ValueError` for an event that is longer than any this program sends.
    """
    buffer, searched = bytearray(), 0
    async for chunk in content.iter_any():
        buffer += chunk
        while (end := buffer.find(b"\n\n", searched)) >= 0:
            lines = bytes(buffer[:end]).split(b"\n")
            del buffer[: end + 2]
            searched = 0
            fields = dict(line.partition(b": ")[::2] for line in lines if not line.startswith(b":"))
            if b"event" in fields:
                await take(fields[b"event"].decode(), fields.get(b"data", b""))
        searched = max(0, len(buffer) - 1)
        if len(buffer) > MAX_EVENT_BYTES:
            raise ValueError("an event without an end")
