"""TLS of a server: connections count from their opening on, so that who begins no handshake shuts nobody out."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

from streams.errors import BadSetting
from streams.http.connections import HEAD_SECONDS, Connections

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = HEAD_SECONDS
"""How long a handshake may take: as long as the head of a request."""

# A client that does not say goodbye is not waited for; nothing is lost.
GOODBYE_SECONDS: Final = 2.0


class Handshake(asyncio.Protocol):
    """A connection until its handshake is over. ``above`` makes the protocol that then takes it.

    A server of asyncio's that is given TLS makes nothing known of a connection before that. So the server listens
    without TLS, and each accepted socket is opened anew with it. The task of the handshake is cancelled to drop it.
    """

    def __init__(
        self,
        above: Callable[[Callable[[], None]], asyncio.Protocol],
        connections: Connections,
        context: Callable[[], ssl.SSLContext],
    ) -> None:
        self._above = above
        self._connections = connections
        self._context = context
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def unsent(self) -> int:
        """Return 0: a handshake has nothing that a client could leave lying."""
        return 0

    def drop(self) -> None:
        """Give the descriptor back at once."""
        if self._task is not None:
            self._task.cancel()
        # A task that has not begun would not close it.
        if self._socket is not None:
            self._socket.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket over before anything is read from it, and begin the handshake.

        Without a descriptor for that the connection ends: its client would hold the one it has for ever.
        """
        try:
            self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            self._socket.settimeout(0)
        except OSError as error:
            log.debug("a connection ended before TLS began: %s", error)
            return
        finally:
            # uvloop's transports are no instances of asyncio's.
            cast("asyncio.Transport", transport).abort()
        self._task = asyncio.get_running_loop().create_task(self._begin())
        self._connections.opened(self)

    async def _begin(self) -> None:
        opened, self._socket = self._socket, None
        if opened is None:
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._above(self._is_over),
                opened,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except (OSError, BadSetting) as error:
            log.debug("a connection ended before TLS began: %s", error)
            opened.close()
        finally:
            self._connections.closed(self)

    def _is_over(self) -> None:
        """Give the place to the protocol above, which takes it at once."""
        self._task = None
        self._connections.closed(self)
