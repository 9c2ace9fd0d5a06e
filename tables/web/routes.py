"""What is answered at which path."""

import msgspec
from aiohttp import hdrs, web

from streams import exposition
from streams.http.descriptors import MOST_CONNECTIONS
from streams.http.prefix import prefix_of, relative_redirects
from streams.http.server import add_headers
from streams.http.shared import Shared
from streams.redis_link import RedisLink
from tables.serving import ServedMarkets
from tables.web.access import Access
from tables.web.api.handlers import Api
from tables.web.api.openapi import document
from tables.web.cluster.copies import Copies
from tables.web.cluster.everywhere import Everywhere
from tables.web.cluster.local import LocalRows
from tables.web.cluster.replicas import Cluster
from tables.web.guard import guard
from tables.web.health import Health
from tables.web.pages import PAGES, Pages
from tables.web.proofs import Proofs
from tables.web.stream.handler import Stream
from tables.web.stream.hub import Hub
from tables.web.worker import Worker


def add_routes(
    server: web.Application,
    worker: Worker,
    served: ServedMarkets,
    link: RedisLink | None,
    most_connections: int = MOST_CONNECTIONS,
) -> None:
    """Add the view of a worker to its web server, which holds ``most_connections``. ``served`` are its markets.

    ``link`` is the Redis with the live windows, which stand in for workers that do not answer.

    Raises :class:`streams.errors.BadSetting` where the settings would open it to the network without a token.
    """
    proofs = Proofs(worker.peer_secrets, worker.now)

    def is_worker(request: web.Request) -> bool:
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        return proofs.accepts(request.method, worker.address, request.raw_path, header)

    access = Access(worker.settings, worker.now, is_worker)
    cluster = Cluster(worker, proofs)
    local = LocalRows(served)
    copies = Copies(link, served)
    hub = Hub(worker, served, local, cluster, copies)
    everywhere = Everywhere(served, local, cluster, copies, worker.settings.topic_partitions)
    api = Api(worker, served, hub, cluster, everywhere)
    stream = Stream(worker, served, hub, access.allows, most_connections)
    health, pages = Health(worker), Pages()
    openapi = msgspec.json.encode(document(worker.alerts.row_type, [*worker.rule_labels], served.windows))

    async def openapi_view(_: web.Request) -> web.StreamResponse:
        return web.Response(body=openapi, content_type="application/json")

    router = server.router
    router.add_get("/metrics", Shared(exposition.answer, by_query=False).__call__)
    router.add_get("/healthz", health.healthz)
    router.add_get("/readyz", Shared(health.readyz, by_query=False).__call__)
    router.add_get("/api/windows", Shared(api.windows).__call__)
    router.add_get("/api/panes", Shared(api.panes).__call__)
    router.add_get("/api/alerts", Shared(api.alerts).__call__)
    router.add_get("/api/workers", Shared(api.workers).__call__)
    router.add_get("/api/stream", stream.handle, allow_head=False)
    router.add_get("/api/openapi.json", openapi_view)
    for path in PAGES:
        router.add_get(path, pages.page)
    router.add_get("/static/{name:.+}", pages.file)
    router.add_post("/login", access.login)
    router.add_post("/logout", access.logout)

    async def stop(_: web.Application) -> None:
        await hub.stop()
        await cluster.close()

    server.middlewares.append(guard(access))
    server.on_response_prepare.append(add_headers)
    server.on_response_prepare.append(relative_redirects(prefix_of(worker.settings.web_public_url)))
    server.on_shutdown.append(stop)
