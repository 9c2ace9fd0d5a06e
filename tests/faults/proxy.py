"""A TCP proxy that is a bad network on demand: it delays, holds, swallows, cuts, resets or refuses."""

import asyncio
import contextlib
import enum
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Self

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
# What a direction holds before it stops reading, as a network's buffers would.
QUEUED_CHUNKS = 64
LINGER_NOT = struct.pack("ii", 1, 0)


class Direction(enum.Flag):
    """Which way bytes go."""

    TO_SERVER = enum.auto()
    TO_CLIENT = enum.auto()
    BOTH = TO_SERVER | TO_CLIENT


class _Weather:
    """What befalls the bytes of one direction at present."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.swallow = False
        self.flowing = asyncio.Event()
        self.flowing.set()


class Proxy:
    """A listener on loopback that passes connections on to ``port`` of ``host``.

    Faults that last (:meth:`delay`, :meth:`hold`, :meth:`hold_at`, :meth:`swallow`, :meth:`refuse`) end with
    :meth:`heal`; those that strike once (:meth:`cut`, :meth:`reset`, :meth:`cut_at`) leave new connections alone.
    ``struck`` counts, by fault, the connections or pieces that one really met, so that a test can show that its fault
    fell inside the run.
    """

    def __init__(self, port: int, host: str = HOST, *, listen_port: int = 0) -> None:
        self.port = listen_port
        self.connections = 0
        self.struck: Counter[str] = Counter()
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._weather = {Direction.TO_SERVER: _Weather(), Direction.TO_CLIENT: _Weather()}
        self._trap: _Trap | None = None
        self._is_meant: Callable[[bytes], bool] | None = None

    @property
    def address(self) -> str:
        """Where clients connect, ``host:port``; the port stays the same through faults."""
        return f"{HOST}:{self.port}"

    @property
    def open_connections(self) -> int:
        """The connections open now."""
        return len(self._links)

    async def start(self) -> Self:
        """Listen."""
        await self._listen()
        return self

    async def stop(self) -> None:
        """Close the listener and every connection."""
        self._close_listener()
        self._end_all(reset=True)
        await asyncio.gather(*(link.task for link in list(self._links)), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    def retarget(self, port: int) -> None:
        """Lead new connections to another port: a server that was started again may not get its old one."""
        self._target = (self._target[0], port)

    def delay(self, seconds: float, direction: Direction = Direction.BOTH) -> None:
        """Deliver every piece ``seconds`` after it came; order is kept."""
        for weather in self._of(direction):
            weather.delay_seconds = seconds

    def hold(self, direction: Direction = Direction.BOTH) -> None:
        """Deliver nothing and lose nothing: what came meanwhile is delivered after :meth:`heal`."""
        for weather in self._of(direction):
            weather.flowing.clear()

    def hold_at(self, is_meant: Callable[[bytes], bool]) -> None:
        """Hold one connection, the next whose bytes to the server are ``is_meant``, from these on; others go on."""
        self._is_meant = is_meant

    def swallow(self, direction: Direction = Direction.BOTH) -> None:
        """Be a black hole: accept connections and bytes, deliver none, tell no one.

        A connection that lost bytes is reset by :meth:`heal`, since its stream would have a hole.
        """
        for weather in self._of(direction):
            weather.swallow = True

    async def refuse(self) -> None:
        """Reset every connection and refuse new ones."""
        self._close_listener()
        self.struck["refuse"] += self._end_all(reset=True)

    def cut(self) -> int:
        """Close every connection in good order (FIN) and return how many there were."""
        closed = self._end_all(reset=False)
        self.struck["cut"] += closed
        return closed

    def reset(self) -> int:
        """Reset every connection (RST) and return how many there were."""
        closed = self._end_all(reset=True)
        self.struck["reset"] += closed
        return closed

    def cut_at(
        self, text: bytes, direction: Direction = Direction.TO_SERVER, *, delivered: bool = True, times: int = 1
    ) -> None:
        """Reset the next ``times`` connections in which a piece (what one read brought) holds ``text``.

        With ``delivered`` the piece still arrives and only the answer is lost: the sender cannot know. Without,
        it is lost as well. Ends with :meth:`heal`.
        """
        self._trap = _Trap(text, direction, delivered=delivered, times=times)

    async def heal(self) -> None:
        """End every fault. Connections that lost bytes are reset; the others go on."""
        self._trap = self._is_meant = None
        for weather in self._weather.values():
            weather.delay_seconds = 0.0
            weather.swallow = False
            weather.flowing.set()
        for link in list(self._links):
            link.flowing.set()
            if link.lossy:
                link.end(reset=True)
        if self._server is None:
            await self._listen()

    def _of(self, direction: Direction) -> list[_Weather]:
        return [weather for one, weather in self._weather.items() if one in direction]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _end_all(self, *, reset: bool) -> int:
        links = list(self._links)
        for link in links:
            link.end(reset=reset)
        return len(links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        link = _Link(task, writer)
        self._links.add(link)
        try:
            server_reader, server_writer = await self._connect(link)
            link.writers.append(server_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(link, Direction.TO_SERVER, reader, server_writer))
                both.create_task(self._carry(link, Direction.TO_CLIENT, server_reader, writer))
        except (OSError, ExceptionGroup) as error:
            if isinstance(error, ExceptionGroup) and error.split(OSError)[1] is not None:
                raise
            # One side is gone without a word: tell the other in the same manner.
            link.reset = True
        except asyncio.CancelledError:
            if not link.ended:
                raise
        finally:
            self._links.discard(link)
            link.close()

    async def _connect(self, link: "_Link") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._weather[Direction.TO_SERVER].swallow:
            # Of a connection made during a black hole the server learns nothing at all.
            self.struck["swallow"] += 1
            link.lossy = True
            await asyncio.get_running_loop().create_future()
        return await asyncio.open_connection(*self._target, limit=CHUNK_BYTES)

    async def _carry(
        self, link: "_Link", direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        weather = self._weather[direction]
        now = asyncio.get_running_loop().time

        async def read() -> None:
            while True:
                piece = await reader.read(CHUNK_BYTES)
                await pieces.put((now() + weather.delay_seconds, piece))
                if not piece:
                    return

        async def write() -> None:
            while True:
                due, piece = await pieces.get()
                if due > now():
                    self.struck["delay"] += 1
                    await asyncio.sleep(due - now())
                if not weather.flowing.is_set():
                    self.struck["hold"] += 1
                    await weather.flowing.wait()
                self._hold_if_meant(link, direction, piece)
                await link.flowing.wait()
                if weather.swallow:
                    self.struck["swallow"] += 1
                    link.lossy = True
                elif self._trap is not None and self._trap.springs(direction, piece):
                    await self._spring(link, writer, piece, delivered=self._trap.delivered)
                elif piece:
                    writer.write(piece)
                    await writer.drain()
                else:
                    writer.write_eof()
                if not piece:
                    return

        async with asyncio.TaskGroup() as pair:
            pair.create_task(read())
            pair.create_task(write())

    def _hold_if_meant(self, link: "_Link", direction: Direction, piece: bytes) -> None:
        if self._is_meant is not None and direction is Direction.TO_SERVER and self._is_meant(piece):
            self.struck["hold_at"] += 1
            self._is_meant = None
            link.flowing.clear()

    async def _spring(self, link: "_Link", writer: asyncio.StreamWriter, piece: bytes, *, delivered: bool) -> None:
        self.struck["cut_at"] += 1
        if delivered:
            writer.write(piece)
            await writer.drain()
            # A reset could overtake what has just been written: the far side is closed in good order.
            link.spared = writer
        link.end(reset=True)
        await asyncio.get_running_loop().create_future()


class _Trap:
    """Waits for a piece that holds a text."""

    def __init__(self, text: bytes, direction: Direction, *, delivered: bool, times: int) -> None:
        self.delivered = delivered
        self._text = text
        self._direction = direction
        self._times = times

    def springs(self, direction: Direction, piece: bytes) -> bool:
        if direction not in self._direction or self._text not in piece or not self._times:
            return False
        self._times -= 1
        return True


class _Link:
    """A client's connection and the one made for it."""

    def __init__(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self.task = task
        self.writers = [writer]
        self.lossy = False
        self.ended = False
        self.reset = False
        self.spared: asyncio.StreamWriter | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()

    def end(self, *, reset: bool) -> None:
        self.ended = True
        self.reset = reset
        self.task.cancel()

    def close(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError):
                if self.reset and writer is not self.spared:
                    raw: socket.socket = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                    writer.transport.abort()
                else:
                    writer.close()
