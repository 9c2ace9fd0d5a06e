"""Asks a process of this machine how it is, over HTTP or by a connection."""

import asyncio
from typing import Final

import aiohttp

from streams.errors import Outage
from streams.unexpected import Library

# The process is on this machine and answers in milliseconds, unless its loop is busy with a large bundle.
TIMEOUT_SECONDS: Final = 2.0
OK: Final = 200

HTTP: Final = Library("the HTTP client", aiohttp.ClientError, OSError, TimeoutError)


async def get_page(host: str, port: int, path: str, scheme: str = "http") -> str | None:
    """Return a page of the server bound to ``host``, or None where it does not answer 200 in time.

    It is a process of this run, whose certificate need not name the address that it is asked at.
    """
    url = f"{scheme}://{reachable_host(host)}:{port}{path}"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        with HTTP.asked(url):
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=False) as response:
                return await response.text() if response.status == OK else None
    except Outage:
        return None


async def listens(host: str, port: int) -> bool:
    """Tell whether something accepts connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def reachable_host(host: str) -> str:
    """Return an address, as URLs write it, that reaches a server bound to ``host``."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
