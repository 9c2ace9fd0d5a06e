"""What is sent to a worker's port and is no request: refused with the headers of every answer, and forgotten."""

import asyncio
import socket
from contextlib import suppress

import pytest

from streams.http.server import SECURITY_HEADERS
from tests.faults.processes import Process
from tests.kafka.server import HOST

NO_REQUESTS = {
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "text": b"what is the price of bitcoin?\r\n\r\n",
    "a version from the future": b"GET / HTTP/99.99\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    "a header beyond all limits": b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "two lengths": b"POST /login HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
}


async def answer_to(port: int, sent: bytes) -> bytes:
    """Return what comes until the connection is closed, or reset, as it is where the server did not read all of it.

    A plain socket, because asyncio's streams forget what they have read when they meet a reset.
    """
    loop = asyncio.get_running_loop()
    answer = b""
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, (HOST, port))
        with suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(client, sent)
        with suppress(ConnectionResetError):
            while piece := await loop.sock_recv(client, 65536):
                answer += piece
    return answer


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
async def test_what_is_no_request_is_refused_like_others(worker: Process, sent: bytes) -> None:
    """400, the security headers, no version of anything, the connection closed; no traceback in the log."""
    log = worker.log_text()
    async with asyncio.timeout(10):
        answer = (await answer_to(worker.port, sent)).decode()
    head, _, body = answer.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert status == "HTTP/1.0 400 Bad Request"
    assert body == "400 Bad Request\n"
    assert headers.items() >= {**SECURITY_HEADERS, "Cache-Control": "no-store"}.items()
    assert "aiohttp" not in answer
    assert "Traceback" not in worker.log_text()[len(log) :]


async def test_a_path_that_is_none_says_so(worker: Process) -> None:
    """One line for people, that repeats nothing of what was asked."""
    sent = b"GET /no-such-page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(10):
        answer = (await answer_to(worker.port, sent)).decode()
    assert answer.startswith("HTTP/1.1 404 Not Found")
    assert answer.endswith("\r\n\r\n404 Not Found: nothing is served at this path\n")
