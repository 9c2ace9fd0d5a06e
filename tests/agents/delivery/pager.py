"""A second channel, and its service on a local socket: lines of text, without anything of Discord.

A request is one line: ``PAGE words`` or ``AMEND id words``. The answer is ``OK id``, ``BUSY seconds``, ``NO``,
``UNKNOWN`` (no such page) or ``GONE`` (no such pager).
"""

import asyncio
from collections import deque
from typing import Self

from agents.alerts.words import sentence
from agents.delivery.base import (
    Ambiguous,
    Backlog,
    Channel,
    ChannelGone,
    MessageGone,
    MessageRefused,
    NotDelivered,
    Notice,
)

REFUSALS = {"NO": MessageRefused, "UNKNOWN": MessageGone, "GONE": ChannelGone}


class PagerServer:
    """Keeps pages, each with all that it has shown. ``script`` holds answers for the next requests.

    The answer ``CUT`` keeps the page and closes the connection without a word.
    """

    def __init__(self) -> None:
        self.pages: list[list[str]] = []
        self.script: deque[str] = deque()
        self.requests = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, rest = (await reader.readline()).decode().rstrip().partition(" ")
        self.requests += 1
        scripted = self.script.popleft() if self.script else ""
        answer = scripted if scripted not in {"", "CUT"} else self._keep(verb, rest)
        if scripted != "CUT":
            writer.write(f"{answer}\n".encode())
            await writer.drain()
        writer.close()

    def _keep(self, verb: str, rest: str) -> str:
        if verb == "PAGE":
            self.pages.append([rest])
            return f"OK {len(self.pages) - 1}"
        number, _, words = rest.partition(" ")
        self.pages[int(number)].append(words)
        return f"OK {number}"


class Pager(Channel):
    """One pager."""

    name = "Pager"
    address = "number"
    remedy = "Buy a new one"

    def __init__(self, port: int) -> None:
        self.is_closed = False
        self._port = port
        self._ready_at = 0.0

    def wait_seconds(self) -> float:
        """Return how long the pager is busy."""
        return max(0.0, self._ready_at - asyncio.get_running_loop().time())

    async def post(self, *notices: Notice, backlog: Backlog | None = None) -> str:  # noqa: ARG002 - it holds one alert
        """Send a page."""
        (notice,) = notices
        return await self._ask(f"PAGE {_words(notice)}")

    async def edit(self, message_id: str, *notices: Notice) -> None:
        """Amend a page."""
        (notice,) = notices
        await self._ask(f"AMEND {message_id} {_words(notice)}")

    async def close(self) -> None:
        """Note it: each request has a connection of its own."""
        self.is_closed = True

    async def _ask(self, line: str) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            raise NotDelivered(f"no pager: {error}") from error
        try:
            writer.write(f"{line}\n".encode())
            word, _, rest = (await reader.readline()).decode().rstrip().partition(" ")
        finally:
            writer.close()
        if word == "OK":
            return rest
        if word == "BUSY":
            self._ready_at = asyncio.get_running_loop().time() + float(rest)
            raise NotDelivered("the pager is busy", float(rest))
        raise REFUSALS.get(word, Ambiguous)(f"the pager answered {word!r}")


def _words(notice: Notice) -> str:
    flags = ("again? " if notice.possible_duplicate else "") + (
        f"up to {notice.escalated_to}! " * bool(notice.escalated_to)
    )
    return f"{flags}{notice.alert.severity} {notice.alert.symbol} {sentence(notice.alert)}"
