"""How the socket of a venue is opened and closed, and what its library may raise."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from streams.errors import Outage
from streams.unexpected import Library
from streams.venues.socket_timing import SocketTiming

SOCKETS: Final = Library("the socket client", OSError, TimeoutError, WebSocketException)

# A snapshot of a hundred rows is 25 kB. Anything far above that holds no trades, and must not fill memory.
MAX_MESSAGE_BYTES: Final = 16 * 2**20


@asynccontextmanager
async def opened_socket(url: str, venue: str, timing: SocketTiming) -> AsyncGenerator[ClientConnection, None]:
    """Open the socket of a venue, which is given by its name, and close it at the end.

    Raises what :data:`SOCKETS` lists where it cannot be opened.
    """
    with SOCKETS.surprises():
        # The library's own keepalive would end the connection while the producer has no room and nobody reads.
        socket = await connect(
            url,
            open_timeout=timing.open_timeout_seconds,
            close_timeout=1,
            ping_interval=None,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            proxy=None if _is_loopback(url) else True,
        )
    try:
        yield socket
    finally:
        with suppress(Outage), SOCKETS.asked(venue):
            await socket.close()


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
