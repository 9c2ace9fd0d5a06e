"""The pages of workers in memory, served by a loop of their own beside the browser's."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from tables.serving import ServedMarkets
from tables.web.routes import add_routes
from tests.worker import MemoryWorker


@contextmanager
def serving(*workers: MemoryWorker) -> Iterator[list[int]]:
    """Give the port of each worker's view. Workers know each other as a group does, by their real addresses."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="workers")
    thread.start()
    ports = [unused_port() for _ in workers]
    for worker, port in zip(workers, ports, strict=True):
        worker.address = f"http://127.0.0.1:{port}"
    for worker in workers:
        worker.peers = {other.address: other.partitions() for other in workers if other is not worker}
    servers = []
    for worker, port in zip(workers, ports, strict=True):
        app = web.Application()
        add_routes(app, worker, ServedMarkets(worker), None)
        servers.append(TestServer(app, host="127.0.0.1", port=port))
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
    try:
        yield ports
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
