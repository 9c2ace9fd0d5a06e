"""What ``/metrics`` answers, made piece by piece: no step of the loop is long, however many markets have series."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final, cast

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from streams import metrics
from streams.market_times import MarketFamily

STEP_SECONDS: Final = 0.001
"""After so much work others have a turn."""


class _One:
    """A registry of one family, for the library to write."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def pieces(registry: CollectorRegistry) -> Iterator[bytes]:
    """Yield the text of everything that is registered."""
    for family in registry.collect():
        if isinstance(family, MarketFamily):
            yield from (part.encode() for part in family.parts())
        else:
            yield generate_latest(cast("CollectorRegistry", _One(family)))


async def exposition() -> bytes:
    """Return every metric of the process in Prometheus's text format."""
    text: list[bytes] = []
    began = time.perf_counter()
    for piece in pieces(metrics.REGISTRY):
        text.append(piece)
        if time.perf_counter() - began > STEP_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return b"".join(text)


async def answer(_: web.Request) -> web.Response:
    """Answer the metrics. Who serves this wraps it in :class:`streams.http.shared.Shared`, which keeps answers."""
    return web.Response(body=await exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
