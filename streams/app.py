"""The Faust application: ``faust -A streams.app worker`` and ``liqmon worker`` run it.

Topics and agents are declared here and nowhere else; what they do is in :mod:`agents`.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import faust
from faust.types import TP

from agents.counting.monitor import SourceMessage
from streams import stages
from streams.errors import Fatal
from streams.http.connections import Connections
from streams.http.descriptors import most_connections
from streams.http.prefix import prefix_of
from streams.http.server import Runner
from streams.kafka.mends import mend_aiokafka
from streams.monitor_app import MonitorApp
from streams.settings import Settings, settings
from streams.settings_names import check_names
from streams.tls import of_web_servers
from streams.topics import ALERTS, TRADES
from streams.worker.command_line import keep_banner_on_terminals
from streams.worker.garbage import look_seldom
from streams.worker.refused import refusal_in
from streams.worker.together import Together
from tables.stores.rocks import files_of
from tables.web.routes import add_routes

MOST_ALERTS: Final = 64
"""Alerts that are recorded together: as many rows take Postgres about 30 ms, and what comes meanwhile waits."""

_fetch: Final = stages.Stage(stages.FETCH)
_fold: Final = stages.Stage(stages.FOLD)
_alert: Final = stages.Stage(stages.ALERT)


def create_app(conf_: Settings | None = None) -> MonitorApp:
    """Return the application, with its agents, for these settings (default: the process's)."""
    mend_aiokafka()
    app = MonitorApp(conf_ or settings())
    trades_topic = app.topic(TRADES, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    alerts_topic = app.topic(ALERTS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(trades_topic, name="agents.counting.monitor", concurrency=1)  # type: ignore[untyped-decorator]
    async def monitor(stream: faust.Stream) -> None:
        async for event in stream.events():
            bundle, began = event.message.bundle, time.perf_counter()
            if bundle.begins_by_broker:
                _fetch.took(app.record_clock.own.now() - bundle.begins_ms / 1000)
            if await app.count(event.message.partition, bundle.parts):
                app.consumer.handled(event.message)
                _fold.took(time.perf_counter() - began)
                await app.keeper.give_way()
            else:
                app.consumer.withhold(event.message)

    @app.agent(alerts_topic, name="agents.alerts.recorder", concurrency=1)  # type: ignore[untyped-decorator]
    async def recorder(stream: faust.Stream) -> None:
        gathered = Together(record, MOST_ALERTS)
        async for event in stream.noack().events():
            await gathered.put(event)

    async def record(events: Sequence[faust.Event]) -> None:
        messages = [event.message for event in events]
        _alert.took(app.record_clock.own.now() - messages[0].timestamp)
        sources = [
            SourceMessage(one.value, one.partition, one.offset, one.timestamp, refusal_in(one.headers))
            for one in messages
        ]
        done = await app.guarded(lambda _: app.sinks.record_all(sources), sources[0])
        for event, is_done in zip(events, done, strict=True):
            if is_done:
                event.ack()
            else:
                app.consumer.withhold(event.message)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(_: object, revoked: set[TP], **_kwargs: object) -> None:
        partitions = {tp.partition for tp in revoked if tp.topic == TRADES}
        app.evaluator.drop(iter(app.keeper.forget(partitions)))

    server = app.web.web_app
    connections = Connections(most_connections(files_of(app.settings)))
    add_routes(server, app.view, app.served, app.redis, connections.most)
    app.web._runner = Runner(server, connections, prefix_of(app.settings.web_public_url), of_web_servers(app.settings))
    return app


@lru_cache(maxsize=1)
def process_app() -> MonitorApp:
    """Return this process's application, which Faust's command line runs."""
    keep_banner_on_terminals()
    app = create_app(check_names(settings()))
    look_seldom()
    return app


def __getattr__(name: str) -> MonitorApp:
    """Make ``streams.app.app`` when Faust's command line asks for it, so that a wrong setting is one line there too."""
    if name != "app":
        raise AttributeError(name)
    try:
        return process_app()
    except Fatal as error:
        raise SystemExit(f"liqmon: {error}") from None
