"""Every window of all replicas: own from memory, others' from their owners, and from Redis where an owner is silent."""

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec

from streams.errors import Outage
from streams.words import counted
from tables.serving import TAKING_OVER, ServedMarkets
from tables.web.api.rows import WindowRow
from tables.web.cluster.copies import Copies
from tables.web.cluster.local import LocalRows
from tables.web.cluster.replicas import NONSENSE, Answer, Cluster, PeerDown

COPIES_SECONDS: Final = 1.0
"""How long reading copies may take before the rest is left out."""


class Everywhere:
    """Reads windows of all workers. While a market's owner answers, its rows are used and no copies."""

    def __init__(
        self, served: ServedMarkets, local: LocalRows, cluster: Cluster, copies: Copies, partition_count: int
    ) -> None:
        self._served = served
        self._local = local
        self._partition_count = partition_count
        self._cluster = cluster
        self._copies = copies

    async def own_rows(self, venue: str | None, symbol: str | None) -> tuple[list[WindowRow], list[str]]:
        """Return the rows of this worker, and a note where it has not all of them yet."""
        rows, _, notes = await self._own(venue, symbol)
        return rows, notes

    async def _own(self, venue: str | None, symbol: str | None) -> tuple[list[WindowRow], set[int], list[str]]:
        rows, whole = await self._local.window_rows(venue, symbol)
        lacking = self._served.lacking or ("" if whole.issuperset(self._served.partitions()) else TAKING_OVER)
        return rows, whole, [f"{self._cluster.here} {lacking}"] if lacking else []

    async def rows(self, venue: str | None, symbol: str | None) -> tuple[list[WindowRow], list[str]]:
        """Return the rows of all workers, of one venue or symbol where given; notes say what is old or missing."""
        asked = {name: value for name, value in (("venue", venue), ("symbol", symbol)) if value is not None}
        before = self._cluster.partitions()
        (own, served, notes), answers = await asyncio.gather(
            self._own(venue, symbol), self._cluster.get_all("/api/windows", {**asked, "scope": "local"})
        )
        rows = {(row.venue, row.symbol, row.window_seconds): row for row in own}
        for url, answer in answers.items():
            found, note = _read(url, answer)
            for row in found:
                rows.setdefault((row.venue, row.symbol, row.window_seconds), row)
            if note:
                notes.append(note)
            else:
                # Partitions may have moved since it answered: count only those that it had before it was asked.
                served.update(before.get(url, ()))
        missing = {*range(self._partition_count)} - served
        if missing:
            ages, problem = await self._add_copies(rows, missing, venue, symbol)
            notes.append(_what_of(missing, ages, problem))
        return list(rows.values()), notes

    async def _add_copies(
        self,
        rows: dict[tuple[str, str, int], WindowRow],
        partitions: set[int],
        venue: str | None,
        symbol: str | None,
    ) -> tuple[list[float], str]:
        """Add the copies of markets that are in no row; return their ages, and why there are not more."""
        ages = []
        try:
            async with asyncio.timeout(COPIES_SECONDS):
                for partition in sorted(partitions):
                    async for copies in self._copies.read(partition):
                        for copy in copies:
                            if venue in (None, copy.venue) and symbol in (None, copy.symbol):
                                new = {
                                    (one.venue, one.symbol, one.window_seconds): one
                                    for one in self._copies.window_rows(copy)
                                }
                                if not new.keys() & rows.keys():
                                    rows.update(new)
                                    ages.append(self._copies.age_seconds(copy))
                        await asyncio.sleep(0)
        except (Outage, TimeoutError):
            return ages, "Redis does not answer"
        return ages, "" if self._copies.is_configured else "without REDIS_URL there are no copies"


def _read(url: str, answer: Answer | PeerDown) -> tuple[list[WindowRow], str]:
    """Return another worker's rows, and a note where they are not all that it serves."""
    if isinstance(answer, PeerDown):
        return [], str(answer)
    if answer.status != HTTPStatus.OK:
        return [], f"{url} answered {answer.status}"
    try:
        rows = msgspec.json.decode(answer.body, type=list[WindowRow])
    except NONSENSE:
        return [], f"{url} answered as no worker of this version does"
    return [msgspec.structs.replace(row, source="peer") for row in rows], answer.notes


def _what_of(partitions: set[int], ages: list[float], problem: str) -> str:
    which = f"partition{'s' if len(partitions) > 1 else ''} {', '.join(map(str, sorted(partitions)))}"
    if not ages:
        return f"the markets of {which} are missing" + (f" ({problem})" if problem else "")
    copies = f"{counted(len(ages), 'market')} of {which} {'is a copy' if len(ages) == 1 else 'are copies'} from Redis"
    others = f"; others are missing ({problem})" if problem else ""
    return f"{copies}, up to {max(ages):.0f} s old{others}"
