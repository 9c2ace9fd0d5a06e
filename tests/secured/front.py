"""TLS in front of a server that has none: the embedded Valkey is built without it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.secured.certificates import Authority, Issued

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024


def server_context(issued: Issued, clients: Authority | None = None) -> ssl.SSLContext:
    """Return the context of a server; with ``clients``, only of those who have a certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    if clients is not None:
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def tls_front(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Speak TLS to clients and pass on what they say to the server at ``port``; give the port to connect to."""
    both: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, port)
        both.add(asyncio.create_task(_pass_on(reader, server_writer)))
        both.add(asyncio.create_task(_pass_on(server_reader, writer)))

    async with await asyncio.start_server(serve, HOST, 0, ssl=context) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
