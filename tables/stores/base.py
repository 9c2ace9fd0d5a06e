"""What stores have in common: what the keeper needs of one beyond Faust's interface, and what Faust gives it."""

import logging
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from faust.types import TP

from streams import metrics
from streams.settings import Settings
from tables.market.chunks import known_offset

log = logging.getLogger(__name__)

Items = Mapping[bytes, bytes]

NOTHING: Final = -1
"""The offset up to which a store claims a changelog of which it holds nothing."""


class StateStore(Protocol):
    """A store of one table's partitions. Keys and values are bytes as :mod:`tables.market.chunks` makes them.

    A later release's are kept as they came, whatever is in them behind the source offset that a value begins with.

    A store behind a network raises :class:`streams.errors.Outage` while it does not answer: nothing was done, or all
    of it, and doing it again is harmless.
    """

    async def load(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a partition whose keys begin with ``prefix``."""
        ...

    async def peek(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return what :meth:`load` would where another worker serves the partition; nothing where stores are apart."""
        ...

    async def save(self, partition: int, items: Items) -> None:
        """Write items that the changelog holds."""
        ...

    async def reach(self, partition: int, changelog_offset: int) -> None:
        """Remember that everything up to and including ``changelog_offset`` is here: a restore begins behind it."""
        ...

    async def markets(self, partition: int) -> Collection[tuple[str, str]]:
        """Return the (venue, symbol) of every market of a partition."""
        ...

    def overtaken(self, partition: int) -> "Overtaken":
        """Return what restores of a partition found behind newer values of the same keys."""
        ...


class StoreApp(Protocol):
    """What a store asks the application for."""

    @property
    def settings(self) -> Settings:
        """The settings of the process."""
        ...

    def cannot_store(self, error: Exception) -> None:
        """End the process: the store failed, and nothing may be done with what is not in it."""
        ...


class ChangelogMessage(Protocol):
    """A record of a changelog."""

    @property
    def tp(self) -> TP:
        """Topic and partition."""
        ...

    @property
    def partition(self) -> int:
        """The partition of the changelog that the record is in."""
        ...

    @property
    def offset(self) -> int:
        """Where in that partition it is."""
        ...

    @property
    def key(self) -> bytes | None:
        """The key in the store; None where somebody sent one without."""
        ...

    @property
    def value(self) -> bytes | None:
        """The value; None where it was deleted."""
        ...


class ChangelogEvent(Protocol):
    """What Faust makes of such a record."""

    @property
    def message(self) -> ChangelogMessage:
        """The record."""
        ...


class Overtaken:
    """Values that a restore found in the changelog behind newer ones of the same keys, by key.

    A worker that was frozen while its partition moved wrote them when it woke. Compaction would keep them, the last of
    their keys. So the owner of the partition writes its own again. The same goes for bytes that are no value at all.
    """

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._first = -1
        self._is_unreadable_said = False

    def replaces(self, record: ChangelogMessage, key: bytes, stored: bytes | None) -> bool:
        """Return whether a record, which has this key and a value, should replace what is stored; see :func:`newer`."""
        incoming = record.value or b""
        if newer(stored, incoming):
            self._values.pop(key, None)
            return True
        if known_offset(incoming) is None:
            metrics.unreadable_changelog_records.inc()
            if not self._is_unreadable_said:
                self._is_unreadable_said = True
                log.warning(
                    "the changelog's partition %d holds what no release wrote there, first at offset %d: passed over; "
                    "find out who else writes to it",
                    record.partition,
                    record.offset,
                )
            if stored is None:
                return False
        if not self._values:
            self._first = record.offset
        self._values[key] = incoming
        return False

    def known_to(self, offset: int) -> int:
        """Return how much of the changelog up to ``offset`` a store may claim: nothing that is yet to be written over.

        A worker that ended before it did so meets that again in its next restore.
        """
        return min(offset, self._first - 1) if self._values else offset

    def add(self, items: Items) -> None:
        """Take note of values whose place cannot be told."""
        self._values |= items

    def take(self) -> dict[bytes, bytes]:
        """Return what was found since the last call."""
        taken, self._values = self._values, {}
        return taken


def newer(stored: bytes | None, incoming: bytes) -> bool:
    """Whether a changelog record should replace what is stored: not where that contains a higher source offset.

    What is no value, as any program can send to a topic, replaces nothing, and is replaced by any value.

    A worker that was frozen while its partition moved flushes old state when it wakes. Its record then lands in the
    changelog behind the new owner's.
    """
    offset = known_offset(incoming)
    if offset is None:
        return False
    before = None if stored is None else known_offset(stored)
    return before is None or offset >= before
