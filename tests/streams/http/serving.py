"""A server of the program with handlers of the test's own, and sockets that behave as no honest client does."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from streams.http.connections import Connections
from streams.http.server import Runner
from streams.http.shared import Handler

HOST = "127.0.0.1"


@asynccontextmanager
async def serving(
    handlers: Mapping[str, Handler], connections: Connections, tls: Callable[[], ssl.SSLContext] | None = None
) -> AsyncIterator[int]:
    """Serve handlers by path, over TLS where given; give the port."""
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
        app.router.add_post(path, handler)
    runner = Runner(app, connections, tls=tls)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ping(_: web.Request) -> web.StreamResponse:
    """Answer at once."""
    return web.Response(text="pong")


async def opened(port: int, sent: bytes = b"") -> socket.socket:
    """Open a connection and send what is no whole request, or a request."""
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (HOST, port))
    if sent:
        await loop.sock_sendall(client, sent)
    return client


async def is_closed(client: socket.socket) -> bool:
    """Return once the other end has closed or reset it, true; what comes before is passed over."""
    with suppress(ConnectionError):
        while await asyncio.get_running_loop().sock_recv(client, 65536):
            pass
    return True


async def answer(client: socket.socket, path: str = "/ping") -> bytes:
    """Ask over an open connection and return the first piece of the answer, empty where it was closed."""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        return await loop.sock_recv(client, 65536)
    return b""
