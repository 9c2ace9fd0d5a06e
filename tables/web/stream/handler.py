"""``/api/stream``: changes of the board as server-sent events."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from aiohttp import hdrs, web

from streams.http.descriptors import MOST_CONNECTIONS
from streams.http.server import add_headers
from streams.model.figures import FIGURES
from streams.severities import SEVERITIES
from tables.market.panes import PANE_SECONDS
from tables.market.values import FIGURE_NAMES
from tables.serving import ServedMarkets, ShownRule
from tables.web.api.params import Query
from tables.web.cluster.workers import versions
from tables.web.guard import problem
from tables.web.stream.board import event
from tables.web.stream.hub import Hub
from tables.web.worker import Worker

MAX_WATCHERS: Final = 1000
"""Pages that may be open, and as many other workers beside them: pages do not use up the workers' places.

Fewer where there are fewer connections: a third of them is left for requests.
"""

QUIET_SECONDS: Final = 4.0
"""An event is sent at least this often, so that a reader notices a connection that is dead."""

# A reader that takes nothing for so long counts as gone, although its socket is open.
STALLED_SECONDS: Final = 30.0
# From so much in its buffer on, asyncio has a writer wait for the reader.
PIECE_BYTES: Final = 64 * 1024
# Browsers that are not told wait 3 to 5 seconds.
RECONNECT_MS: Final = 1000


class ShownFigure(msgspec.Struct, frozen=True):
    """A figure as pages need it, to write it and to draw it."""

    name: str
    label: Annotated[str, msgspec.Meta(description="its name, for people")]
    meaning: str
    unit: Annotated[str, msgspec.Meta(description="usd, count, price, percent or ratio")]
    combined: Annotated[
        str | None,
        msgspec.Meta(
            description="how the figures of panes make that of all of them: sum, max, min, first or last; null where "
            "that takes more"
        ),
    ]
    is_of_panes: Annotated[bool, msgspec.Meta(description="whether a single pane has it")]


SHOWN_FIGURES: Final = tuple(
    ShownFigure(one.name, one.label, one.meaning, one.type.name, one.combined, one.is_of_panes) for one in FIGURES
)


class Hello(msgspec.Struct):
    """What a reader needs to understand the rows that follow; the first event of every stream."""

    at: float
    here: str
    columns: tuple[str, ...]
    figures: tuple[ShownFigure, ...]
    windows: tuple[int, ...]
    rule_window: int
    pane_seconds: int
    cooldown_seconds: int
    severities: tuple[str, ...]
    rules: tuple[ShownRule, ...]
    rule_labels: Annotated[
        Mapping[str, str],
        msgspec.Meta(description="every rule of this release, in force or not: what it measures, by its name"),
    ]
    venues: Mapping[str, str]
    multiples: Annotated[tuple[float, ...], msgspec.Meta(description="for pages of an earlier release")]
    retention_seconds: int
    has_token: bool
    version: str


class Stream:
    """The handler of the stream.

    ``may_look`` says of a request whether its session is still open. ``most_connections`` is what the server holds.
    """

    def __init__(
        self,
        worker: Worker,
        served: ServedMarkets,
        hub: Hub,
        may_look: Callable[[web.Request], bool],
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._worker = worker
        self._served = served
        self._hub = hub
        self._may_look = may_look
        self._most_connections = most_connections

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Send changes until the reader goes away; ``scope=local`` sends only what this worker serves."""
        query = Query(request, ("scope",))
        is_local = query.choice("scope", ("all", "local"), "all") == "local"
        if (self._hub.followers if is_local else self._hub.pages) >= min(MAX_WATCHERS, self._most_connections // 3):
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "too many streams are open")
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"})
        await add_headers(request, response)
        self._hub.open(follower=is_local)
        try:
            await response.prepare(request)
            await self._send(request, response, self._served.owner if is_local else None)
        finally:
            self._hub.close(follower=is_local)
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, owner: str | None) -> None:
        board = self._hub.board
        with suppress(ConnectionResetError, TimeoutError):
            await response.write(
                b"retry: %d\n\n%b" % (RECONNECT_MS, event("hello", msgspec.json.encode(self._hello())))
            )
            seen, judged = -1, -math.inf
            while not board.is_closed:
                if (now := time.monotonic()) - judged >= QUIET_SECONDS:
                    if not self._may_look(request):
                        return
                    judged = now
                events, seen = board.since(seen, owner), board.revision
                await _write(response, events or event("beat", b'{"at":%.3f}' % self._served.now()))
                await board.wait(seen, QUIET_SECONDS)

    def _hello(self) -> Hello:
        settings = self._worker.settings
        return Hello(
            at=self._served.now(),
            here=self._served.owner,
            columns=FIGURE_NAMES,
            figures=SHOWN_FIGURES,
            windows=self._served.windows,
            rule_window=self._served.rule_window,
            pane_seconds=PANE_SECONDS,
            cooldown_seconds=settings.alert_cooldown_sec,
            severities=SEVERITIES,
            rules=self._worker.rules,
            rule_labels=self._worker.rule_labels,
            venues=self._worker.venue_names,
            multiples=settings.severity_multiples,
            retention_seconds=settings.retention_seconds,
            has_token=settings.web_token is not None,
            version=versions()["liquidation-monitor"],
        )


async def _write(response: web.StreamResponse, events: bytes) -> None:
    """Send events a piece at a time, so that a slow reader's buffer holds one piece and not all of it.

    Raises :class:`TimeoutError` for a reader that takes no piece for long.
    """
    for start in range(0, len(events), PIECE_BYTES):
        async with asyncio.timeout(STALLED_SECONDS):
            await response.write(events[start : start + PIECE_BYTES])
