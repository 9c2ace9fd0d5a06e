"""Looks for what others wrote to the changelogs of this worker's partitions, and has the keeper write over it."""

from collections.abc import Awaitable, Callable, Mapping

from tables.keeper import Keeper
from tables.stale_writes import Stretch
from tables.stores.base import Items


class Restating:
    """``read`` returns what a stretch of a partition of the changelog holds, the last value of each key.

    It raises :class:`streams.errors.Outage` while the broker does not answer.
    """

    def __init__(self, keeper: Keeper, read: Callable[[int, Stretch], Awaitable[Items]]) -> None:
        self._keeper = keeper
        self._read = read

    async def look(self, reached: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Make harmless what others wrote up to ``ends``, and what restores found.

        ``reached`` is what :attr:`Keeper.reached` was before ``ends`` was asked for. What could not be read because of
        an :class:`streams.errors.Outage` is looked at by the next call.
        """
        await self._keeper.restate_restored()
        for partition, stretches in self._keeper.foreign_writes(reached, ends).items():
            for stretch in stretches:
                await self._keeper.restate(partition, await self._read(partition, stretch))
                self._keeper.looked_at(partition, stretch)
