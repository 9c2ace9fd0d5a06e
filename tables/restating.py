"""Looks for what others wrote to the changelogs of this worker's partitions, and has the keeper write over it."""

from collections.abc import Awaitable, Callable, Mapping

from streams.errors import Outage
from tables.keeper import Keeper
from tables.stale_writes import Stretch
from tables.stores.base import Items


class Restating:
    """``read`` returns what a stretch of a partition of the changelog holds, the last value of each key.

    It raises :class:`Outage` while the broker does not answer.
    """

    def __init__(self, keeper: Keeper, read: Callable[[int, Stretch], Awaitable[Items]]) -> None:
        self._keeper = keeper
        self._read = read

    async def look(self, reached: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Make harmless what others wrote up to ``ends``, and what restores found.

        ``reached`` is what :attr:`Keeper.reached` was before ``ends`` was asked for. Raises the first :class:`Outage`
        once each partition was tried. What could not be read is looked at by the next call, and holds up no other.
        """
        await self._keeper.restate_restored()
        outage: Outage | None = None
        for partition, stretches in self._keeper.foreign_writes(reached, ends).items():
            for stretch in stretches:
                try:
                    stale = await self._read(partition, stretch)
                except Outage as error:
                    # The partition's leader is away. Each try takes seconds, and others wait for this look.
                    outage = outage or error
                    break
                await self._keeper.restate(partition, stale)
                self._keeper.looked_at(partition, stretch)
        if outage is not None:
            raise outage
