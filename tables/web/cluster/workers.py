"""What a worker says of itself: partitions, lag, sizes, versions; and what producers say of theirs."""

import asyncio
import os
import platform
import ssl
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import msgspec
from yarl import URL

from streams import tls
from streams.addresses import without_secrets
from streams.model import frames
from streams.model.connection import Connection
from streams.secured import Files
from tables.market import formats
from tables.market.state import Market
from tables.serving import ServedMarkets
from tables.web.cluster.local import age_seconds
from tables.web.cluster.replicas import HTTP, PEER_SECONDS
from tables.web.cluster.settings import Difference, shown_settings
from tables.web.worker import Worker

MAX_STATUS_BYTES: Final = 256 * 1024
"""Of a producer's answer, which names its connections and counts: a few kilobytes."""

STARTED: Final = time.monotonic()
STANDING_BY: Final = "stands by: no partition is left for it"
PACKAGES: Final = ("liquidation-monitor", "faust-streaming", "aiokafka", "aiohttp", "asyncpg", "msgspec")
FORMATS: Final = {"frames": frames.VERSION, "state": formats.FORMAT}
"""The newest format that this release reads, by what has it: decision 0023 says what that is for."""


class PartitionRow(msgspec.Struct, frozen=True):
    """One partition of the topic ``trades`` on the worker that serves it."""

    partition: int
    role: Annotated[str, msgspec.Meta(description="active: served here; standby: a copy kept for a take-over")]
    markets: int
    offset: Annotated[
        int | None, msgspec.Meta(description="next message to be counted; of a standby: next record of the changelog")
    ]
    end_offset: Annotated[
        int | None, msgspec.Meta(description="where the partition, or the changelog, ended when last heard of")
    ]
    committed_offset: int | None
    lag: Annotated[
        int | None,
        msgspec.Meta(description="messages between what is committed and the end; of a standby: records to be applied"),
    ]
    age_seconds: Annotated[float | None, msgspec.Meta(description="since its last trade was received")]


class FeedRow(msgspec.Struct, frozen=True):
    """One venue as this worker sees it through the topic."""

    venue: str
    markets: int
    age_seconds: float | None


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker."""

    url: str
    answering: bool
    ready: bool
    note: Annotated[str, msgspec.Meta(description="why it is not ready, or that it has no partition and stands by")]
    started: Annotated[float, msgspec.Meta(description="unix seconds")]
    table_store: Annotated[str, msgspec.Meta(description="scheme of TABLE_STORE")]
    markets: int
    panes: int
    memory_bytes: int
    watchers: Annotated[int, msgspec.Meta(description="open streams")]
    partitions: list[PartitionRow]
    feeds: list[FeedRow]
    versions: dict[str, str]
    formats: Annotated[
        dict[str, int],
        msgspec.Meta(description="the newest format that it reads of what is stored; none from before that"),
    ] = {}
    settings: Annotated[
        dict[str, str],
        msgspec.Meta(description="the settings on which workers should agree; none from an earlier release"),
    ] = {}


class ProducerRow(msgspec.Struct, frozen=True):
    """One producer, as its own status page tells; ``url`` is from PRODUCER_URLS, without name and password."""

    url: str
    answering: bool
    ready: bool
    connections: Annotated[list[Connection], msgspec.Meta(description="its sockets to the venues")]
    details: dict[str, Any]


class Workers(msgspec.Struct, frozen=True):
    """All workers of the group, the producers that are configured, and who answered."""

    here: str
    rows: list[WorkerRow]
    producers: list[ProducerRow]
    notes: list[str]
    differences: Annotated[
        list[Difference],
        msgspec.Meta(description="settings on which the workers that answer do not agree"),
    ] = []


@cache
def versions() -> dict[str, str]:
    """Return the versions of the program and of what it runs on. Reading them takes milliseconds, once."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


async def readiness(worker: Worker) -> dict[str, bool]:
    """Return what must hold for this worker to be of use. One that got no partition is: it stands by."""
    return {
        "partitions_settled": not worker.is_rebalancing,
        "tables_recovered": worker.has_recovered,
        "markets_loaded": worker.has_all(worker.partitions()),
        "table_store_reachable": worker.store_answers,
        "table_store_writable": not worker.is_ending,
        "clock_right": not worker.clock_fault(),
        "postgres_reachable": await worker.postgres_answers(),
    }


async def worker_row(worker: Worker, served: ServedMarkets, watchers: int) -> WorkerRow:
    """Describe this worker."""
    facts = await readiness(worker)
    note = ", ".join(
        (name == "clock_right" and worker.clock_fault()) or f"not {name.replace('_', ' ')}"
        for name, holds in facts.items()
        if not holds
    )
    markets = [(partition, rolling.market) for partition, rolling in served.rollings()]
    return WorkerRow(
        url=worker.address,
        answering=True,
        ready=all(facts.values()),
        note=note or (STANDING_BY if worker.is_unassigned else ""),
        started=round(worker.now() - (time.monotonic() - STARTED), 1),
        table_store=URL(worker.settings.table_store).scheme,
        markets=len(markets),
        panes=sum(chunk.held for _, market in markets for chunk in market.chunks.values()),
        memory_bytes=_memory_bytes(),
        watchers=watchers,
        partitions=[*_partitions(worker, markets)],
        feeds=_feeds([market for _, market in markets], worker.now()),
        versions=versions(),
        formats=FORMATS,
        settings=shown_settings(worker.settings),
    )


def _partitions(worker: Worker, markets: list[tuple[int, Market]]) -> list[PartitionRow]:
    rows = []
    for partition in worker.partitions():
        here = [market for at, market in markets if at == partition]
        end, committed = worker.end_offset(partition), worker.committed_offset(partition)
        rows.append(
            PartitionRow(
                partition=partition,
                role="active",
                markets=len(here),
                offset=worker.next_offset(partition),
                end_offset=end,
                committed_offset=committed,
                lag=max(0, end - committed) if end is not None and committed is not None else None,
                age_seconds=_least_age(here, worker.now()),
            )
        )
    rows += [_standby(worker, partition) for partition in worker.standby_partitions()]
    return rows


def _standby(worker: Worker, partition: int) -> PartitionRow:
    applied, end = worker.standby_offsets(partition)
    lag = max(0, end - applied) if applied is not None and end is not None else None
    return PartitionRow(partition, "standby", 0, applied, end, None, lag, None)


def _feeds(markets: list[Market], now: float) -> list[FeedRow]:
    rows = []
    for venue in sorted({market.venue for market in markets}):
        of_venue = [market for market in markets if market.venue == venue]
        rows.append(FeedRow(venue, len(of_venue), _least_age(of_venue, now)))
    return rows


def _least_age(markets: list[Market], now: float) -> float | None:
    return min((age for market in markets if (age := age_seconds(market, now)) is not None), default=None)


def _memory_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def silent_worker(url: str, partitions: list[int], note: str) -> WorkerRow:
    """Describe a worker that did not answer by what the assignment says of it."""
    return WorkerRow(
        url=url,
        answering=False,
        ready=False,
        note=note,
        started=0.0,
        table_store="",
        markets=0,
        panes=0,
        memory_bytes=0,
        watchers=0,
        partitions=[PartitionRow(partition, "active", 0, None, None, None, None, None) for partition in partitions],
        feeds=[],
        versions={},
    )


async def producer_rows(urls: tuple[str, ...], ca: Path | None = None) -> list[ProducerRow]:
    """Ask the producers for their health, all at once. ``ca`` is the file of the CAs that their certificates are of."""
    return list(await asyncio.gather(*(_producer(url.rstrip("/"), ca) for url in urls)))


def _trusting(url: str, ca: Path | None) -> ssl.SSLContext:
    # One on this machine, as in `liqmon run`, need not be named by its address there.
    is_here = URL(url).host in ("127.0.0.1", "::1", "localhost")
    return tls.context(Files("WEB_TLS", ca, None, None), "chain" if is_here else "name")


async def _producer(url: str, ca: Path | None) -> ProducerRow:
    shown = without_secrets(url)
    try:
        # Without the workers' token: a producer asks for none.
        async with (
            asyncio.timeout(PEER_SECONDS),
            aiohttp.ClientSession() as session,
            session.get(f"{url}/readyz", allow_redirects=False, ssl=_trusting(url, ca)) as got,
        ):
            body = await got.content.read(MAX_STATUS_BYTES + 1)
            while len(body) <= MAX_STATUS_BYTES and (more := await got.content.read(MAX_STATUS_BYTES)):
                body += more
            details = msgspec.json.decode(body[:MAX_STATUS_BYTES], type=dict[str, Any])
        connections = msgspec.convert(details.pop("connections", []), type=list[Connection])
        is_ready = msgspec.convert(details.pop("ready", False), type=bool)
    except Exception as error:  # noqa: BLE001 - whatever it is, the page shows the others
        HTTP.notice(error)
        return ProducerRow(shown, answering=False, ready=False, connections=[], details={})
    return ProducerRow(shown, answering=True, ready=is_ready, connections=connections, details=details)
