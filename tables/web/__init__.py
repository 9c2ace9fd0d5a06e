"""The web view on Faust's own web server: pages, JSON, a stream of changes, metrics and health."""

from typing import Any

import msgspec
from aiohttp import web

from streams.redis_link import RedisLink
from tables.web.access import Access
from tables.web.api.handlers import Api
from tables.web.api.openapi import document
from tables.web.cluster.copies import Copies
from tables.web.cluster.everywhere import Everywhere
from tables.web.cluster.local import LocalMarkets
from tables.web.cluster.replicas import Cluster
from tables.web.guard import add_headers, guard
from tables.web.health import Health
from tables.web.http import Runner
from tables.web.pages import PAGES, Pages
from tables.web.stream.handler import Stream
from tables.web.stream.hub import Hub


def add_routes(app: Any, link: RedisLink | None) -> LocalMarkets:
    """Add the view to Faust's web server; return the markets it shows, with their sums.

    ``link`` is the Redis with the live windows, which stand in for workers that do not answer.

    Raises :class:`streams.errors.BadSetting` where the settings would open it to the network without a token.
    """
    access = Access(app.settings)
    server: web.Application = app.web.web_app
    cluster = Cluster(app, access.headers)
    local = LocalMarkets(app, cluster)
    copies = Copies(link, local)
    hub = Hub(app, local, cluster, copies, app.alert_history)
    api = Api(app, hub, local, cluster, Everywhere(local, cluster, copies), app.alert_history)
    health, pages = Health(app), Pages()
    openapi = msgspec.json.encode(document(app.alert_history.row_type))

    async def openapi_view(_: web.Request) -> web.StreamResponse:
        return web.Response(body=openapi, content_type="application/json")

    router = server.router
    router.add_get("/metrics", health.metrics)
    router.add_get("/healthz", health.healthz)
    router.add_get("/readyz", health.readyz)
    router.add_get("/api/windows", api.windows)
    router.add_get("/api/panes", api.panes)
    router.add_get("/api/alerts", api.alerts)
    router.add_get("/api/workers", api.workers)
    router.add_get("/api/stream", Stream(hub, local, app.settings).handle, allow_head=False)
    router.add_get("/api/openapi.json", openapi_view)
    for path in PAGES:
        router.add_get(path, pages.page)
    router.add_get("/static/{name:.+}", pages.file)
    router.add_post("/login", access.login)
    router.add_post("/logout", access.logout)

    async def stop(_: web.Application) -> None:
        await hub.stop()
        await cluster.close()

    app.web._runner = Runner(server, access_log=None)
    server.middlewares.append(guard(access))
    server.on_response_prepare.append(add_headers)
    server.on_shutdown.append(stop)
    return local
