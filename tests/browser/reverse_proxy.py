"""A small reverse proxy that serves a worker below a path, as nginx and others do."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

# They are of one connection, or of a body that the client has taken apart.
OF_A_CONNECTION = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "date",
    "server",
}


@contextmanager
def proxy(worker_port: int, prefix: str, *, strips: bool) -> Iterator[int]:
    """Give the port of a proxy that serves a worker below ``prefix``, and answers 404 elsewhere.

    ``strips``: it takes the prefix off before it asks the worker.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()

    def run(coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)  # type: ignore[arg-type]

    session: aiohttp.ClientSession | None = None

    async def forward(request: web.Request) -> web.StreamResponse:
        assert session is not None
        path = request.raw_path
        if not path.startswith(f"{prefix}/"):
            return web.Response(status=404, text="not this program's")
        url = URL(f"http://127.0.0.1:{worker_port}{path[len(prefix) :] if strips else path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OF_A_CONNECTION}
        body = await request.read()
        async with session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as got:
            told = [(name, value) for name, value in got.headers.items() if name.lower() not in OF_A_CONNECTION]
            answer = web.StreamResponse(status=got.status, headers=dict(told))
            await answer.prepare(request)
            async for piece in got.content.iter_any():
                await answer.write(piece)
            await answer.write_eof()
            return answer

    async def start() -> web.AppRunner:
        nonlocal session
        session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def stop(runner: web.AppRunner) -> None:
        await runner.cleanup()
        if session is not None:
            await session.close()

    runner = run(start())
    assert isinstance(runner, web.AppRunner)
    try:
        yield runner.addresses[0][1]
    finally:
        run(stop(runner))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
