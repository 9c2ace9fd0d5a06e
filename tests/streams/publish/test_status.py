"""What a process says of itself over HTTP."""

import socket

import aiohttp
import pytest

from streams.errors import Fatal
from streams.publish.status import Facts, StatusServer


async def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_ready_and_not_ready_are_told_with_the_facts() -> None:
    """200 or 503, and why; alive is another question."""
    ready = True
    server = StatusServer("127.0.0.1", 0, lambda: Facts(ready, {"buffered_trades": 7}))
    await server.start()
    try:
        assert await get(server.port, "/readyz") == (200, '{"ready":true,"buffered_trades":7}')
        ready = False
        assert await get(server.port, "/readyz") == (503, '{"ready":false,"buffered_trades":7}')
        assert (await get(server.port, "/healthz"))[0] == 200
    finally:
        await server.stop()


async def test_metrics_are_those_of_the_program() -> None:
    """In the format that Prometheus reads, brought up to date by asking for the facts."""
    asked = []
    server = StatusServer("127.0.0.1", 0, lambda: asked.append(1) or Facts(True, {}))  # type: ignore[func-returns-value]
    await server.start()
    try:
        status, body = await get(server.port, "/metrics")
    finally:
        await server.stop()
    assert status == 200
    assert "# HELP liqmon_buffered_trades " in body
    assert "_created" not in body, "when a counter was made is not asked by anybody"
    assert asked


async def test_a_taken_port_is_one_clear_line() -> None:
    """It names the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"{port}.*PRODUCER_METRICS_PORT"):
            await StatusServer("127.0.0.1", port, lambda: Facts(True, {})).start()
