"""The JSON under ``/api/``: windows, panes, alerts, workers."""

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus
from operator import attrgetter
from typing import Final

import msgspec
from aiohttp import web

from streams.errors import Outage
from streams.severities import SEVERITIES
from tables.market.state import Market
from tables.serving import ServedMarkets
from tables.web.api.exports import csv_response, csv_text
from tables.web.api.params import MAX_UNIX_SECONDS, BadQuery, Query
from tables.web.api.rows import PaneRow, Panes, pane_rows
from tables.web.cluster.everywhere import COPIES_SECONDS, Everywhere
from tables.web.cluster.local import age_seconds
from tables.web.cluster.replicas import NONSENSE, NOTES, Answer, Cluster, PeerDown
from tables.web.cluster.settings import differences
from tables.web.cluster.workers import WorkerRow, Workers, producer_rows, silent_worker, worker_row
from tables.web.guard import problem
from tables.web.stream.hub import Hub
from tables.web.worker import Worker

SCOPES: Final = ("all", "local")
FORMATS: Final = ("json", "csv")
MAX_ALERTS: Final = 5000
"""An alert takes about 900 bytes: the longest answer has 4.5 MB."""

DEFAULT_ALERTS: Final = 100
"""What the page of alerts asks for first."""

_ROWS_BETWEEN_TURNS: Final = 200
"""Measured: making so many rows of panes takes about 6 ms."""


class Api:
    """Answers requests for windows, panes, alerts and workers."""

    def __init__(
        self, worker: Worker, served: ServedMarkets, hub: Hub, cluster: Cluster, everywhere: Everywhere
    ) -> None:
        self._worker = worker
        self._served = served
        self._hub = hub
        self._cluster = cluster
        self._everywhere = everywhere

    async def windows(self, request: web.Request) -> web.StreamResponse:
        """Answer every window of every market of all replicas."""
        query = Query(request, ("venue", "symbol", "window_seconds", "scope"))
        venue, symbol = query.name("venue"), query.name("symbol")
        seconds = query.integer("window_seconds", low=1, high=86_400)
        is_local = query.choice("scope", SCOPES, "all") == "local"
        rows, notes = await (self._everywhere.own_rows if is_local else self._everywhere.rows)(venue, symbol)
        if seconds is not None:
            # Other workers may have other windows, during a change of WINDOWS.
            lengths = sorted({*self._served.windows, *(row.window_seconds for row in rows)})
            if seconds not in lengths:
                raise BadQuery(f"window_seconds: must be one of {', '.join(map(str, lengths))}")
            rows = [row for row in rows if row.window_seconds == seconds]
        rows.sort(key=attrgetter("venue", "symbol", "window_seconds"))
        return _answer(await list_of(rows), notes)

    async def panes(self, request: web.Request) -> web.StreamResponse:
        """Answer the panes of one market, from the worker that serves it.

        While that one does not answer they are as it last stored them, where workers share the table store. A CSV says
        nothing of where its rows are from, so it waits for the owner.
        """
        query = Query(request, ("venue", "symbol", "from", "to", "format", "scope"))
        venue, symbol = query.required("venue"), query.required("symbol")
        start, end = query.span()
        as_csv = query.choice("format", FORMATS, "json") == "csv"
        is_local = query.choice("scope", SCOPES, "all") == "local"
        found = self._served.find(venue, symbol)
        if found is None:
            await self._served.load()
            found = self._served.find(venue, symbol)
        if found is None and not is_local:
            answer = await self._ask_owner(request, symbol)
            is_silent = answer.status == HTTPStatus.SERVICE_UNAVAILABLE and not as_csv
            stored = await self._stored(venue, symbol, start, end) if is_silent else None
            return answer if stored is None else _json(stored)
        if found is None:
            return self._unknown(request)
        panes = await self._panes(*found, start, end, owner=self._cluster.here, source="memory")
        if as_csv:
            return csv_response(f"panes-{_file_name(symbol)}", await csv_text(PaneRow.__struct_fields__, panes.rows))
        return _json(panes)

    async def _stored(self, venue: str, symbol: str, start: int | None, end: int | None) -> Panes | None:
        partition = self._worker.home(symbol)
        try:
            async with asyncio.timeout(COPIES_SECONDS):
                market = await self._worker.stored(partition, venue, symbol)
        except (Outage, TimeoutError):
            return None
        if market is None:
            return None
        owner = self._cluster.owner(partition) or ""
        return await self._panes(partition, market, start, end, owner=owner, source="store")

    async def _panes(
        self, partition: int, market: Market, start: int | None, end: int | None, *, owner: str, source: str
    ) -> Panes:
        first = market.watermark - self._served.rule_window + 1 if start is None else start
        last = market.watermark if end is None else end - 1
        rows = []
        for row in pane_rows(market, first, last):
            rows.append(row)
            if len(rows) % _ROWS_BETWEEN_TURNS == 0:
                await asyncio.sleep(0)
        return Panes(
            venue=market.venue,
            symbol=market.symbol,
            owner=owner,
            partition=partition,
            source=source,
            offset=market.offset,
            newest_pane=market.watermark,
            oldest_pane=market.oldest,
            age_seconds=age_seconds(market, self._served.now()),
            missing_ids=sum(high - low + 1 for row in rows for low, high in row.gaps),
            rows=rows,
        )

    async def _ask_owner(self, request: web.Request, symbol: str) -> web.StreamResponse:
        owner = self._cluster.owner(self._worker.home(symbol))
        if owner is None or owner == self._cluster.here:
            return self._unknown(request)
        try:
            answer = await self._cluster.get(owner, request.path, {**request.query, "scope": "local"})
            if answer.status == HTTPStatus.OK:
                return _panes_of_peer(answer, symbol)
        except PeerDown as error:
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; it serves this market")
        except NONSENSE:
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, f"{owner} answered as no worker of this version")
        if answer.status == HTTPStatus.NOT_FOUND:
            return problem(request, HTTPStatus.NOT_FOUND, "no such market")
        return problem(
            request, HTTPStatus.SERVICE_UNAVAILABLE, f"{owner} answered {answer.status}; it serves this market"
        )

    def _unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer that a market is not here: for good, or not yet."""
        if lacking := self._served.lacking:
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, f"{self._cluster.here} {lacking}")
        return problem(request, HTTPStatus.NOT_FOUND, "no such market")

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        """Answer the history of alerts from Postgres, newest first."""
        query = Query(request, ("venue", "symbol", "market", "rule", "severity", "from", "to", "limit", "format"))
        since, until = query.span()
        limit = query.integer("limit", low=1, high=MAX_ALERTS)
        as_csv = query.choice("format", FORMATS, "json") == "csv"
        rows = await self._worker.alerts.find(
            venue=query.name("venue"),
            symbol=query.name("symbol"),
            market=query.name("market"),
            rules=query.choices("rule", self._worker.rule_labels),
            severities=query.choices("severity", SEVERITIES),
            since=since,
            until=until if until is not None else MAX_UNIX_SECONDS,
            limit=limit or DEFAULT_ALERTS,
        )
        if as_csv:
            return csv_response("alerts", await csv_text(self._worker.alerts.row_type.__struct_fields__, rows))
        return _answer(await list_of(rows))

    async def workers(self, request: web.Request) -> web.StreamResponse:
        """Answer all workers of the group and the producers that are configured."""
        query = Query(request, ("scope",))
        await self._served.load()
        own = await worker_row(self._worker, self._served, self._hub.watchers)
        if query.choice("scope", SCOPES, "all") == "local":
            return _json(Workers(self._cluster.here, [own], [], []))
        answers, producers = await asyncio.gather(
            self._cluster.get_all("/api/workers", {"scope": "local"}),
            producer_rows(self._worker.settings.producer_urls, self._worker.settings.web_tls_cafile),
        )
        rows, notes = {own.url: own}, []
        for url, answer in answers.items():
            if isinstance(answer, PeerDown) or answer.status != HTTPStatus.OK:
                notes.append(str(answer) if isinstance(answer, PeerDown) else f"{url} answered {answer.status}")
                continue
            try:
                rows.update((row.url, row) for row in msgspec.json.decode(answer.body, type=Workers).rows)
            except NONSENSE:
                notes.append(f"{url} answered as no worker of this version does")
        for url, partitions in self._cluster.partitions().items():
            if url not in rows:
                rows[url] = silent_worker(url, partitions, "does not answer")
        found: list[WorkerRow] = sorted(rows.values(), key=lambda row: row.url)
        told = {row.url: row.settings for row in found if row.settings}
        return _json(Workers(self._cluster.here, found, producers, notes, differences(told)))


def _panes_of_peer(answer: Answer, symbol: str) -> web.Response:
    """Pass on another worker's panes. Raises one of :data:`NONSENSE` where they are none."""
    if answer.content_type == "text/csv":
        return csv_response(f"panes-{_file_name(symbol)}", answer.body.decode())
    return _json(msgspec.structs.replace(msgspec.json.decode(answer.body, type=Panes), source="peer"))


async def list_of(rows: Sequence[object]) -> bytes:
    """Return rows as a JSON list. The stream's messages have their turn between some rows and the next."""
    pieces = []
    for start in range(0, len(rows), _ROWS_BETWEEN_TURNS):
        pieces.append(msgspec.json.encode(rows[start : start + _ROWS_BETWEEN_TURNS])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(pieces) + b"]"


def _json(value: object) -> web.Response:
    return _answer(msgspec.json.encode(value))


def _answer(body: bytes, notes: Sequence[str] = ()) -> web.Response:
    headers = {NOTES: "; ".join(notes).encode("ascii", "replace").decode()} if notes else None
    return web.Response(body=body, content_type="application/json", headers=headers)


def _file_name(symbol: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", symbol).strip("-")[:60] or "market"
