"""What the keeper needs of a store beyond Faust's interface: whole markets by partition, outside of any stream."""

from collections.abc import Collection, Mapping
from typing import Protocol

from tables.market.chunks import offset_of

Items = Mapping[bytes, bytes]


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


def newer(stored: bytes | None, incoming: bytes) -> bool:
    """Whether a changelog record should replace what is stored: not where that contains a higher source offset.

    A worker that was frozen while its partition moved flushes old state when it wakes. Its record then lands in the
    changelog behind the new owner's.
    """
    return stored is None or offset_of(incoming) >= offset_of(stored)
