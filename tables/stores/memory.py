"""Market state in memory; a restart restores it from the changelog."""

from collections.abc import Callable, Sequence

from faust.stores import memory
from faust.types import TP

from streams import metrics
from tables.market.chunks import markets_of
from tables.stores.base import ChangelogEvent, Items, Overtaken


class Store(memory.Store):  # type: ignore[misc]
    """Faust's memory store, kept by partition, with market-wise access and restores that keep the higher offset."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._partitions: dict[int, dict[bytes, bytes]] = {}
        self._overtaken: dict[int, Overtaken] = {}

    async def load(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a partition whose keys begin with ``prefix``."""
        return [item for item in self._partitions.get(partition, {}).items() if item[0].startswith(prefix)]

    async def peek(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return nothing: what others serve is with them."""
        return []

    async def save(self, partition: int, items: Items) -> None:
        """Write items; each replaces what its key held."""
        self._partitions.setdefault(partition, {}).update(items)

    async def reach(self, partition: int, changelog_offset: int) -> None:
        """Do nothing: a restart restores everything."""

    async def markets(self, partition: int) -> set[tuple[str, str]]:
        """Return the (venue, symbol) of every market of a partition."""
        return markets_of(self._partitions.get(partition, {}))

    def overtaken(self, partition: int) -> Overtaken:
        """Return what restores of a partition found behind newer values of the same keys."""
        return self._overtaken.setdefault(partition, Overtaken())

    def apply_changelog_batch(
        self,
        batch: Sequence[ChangelogEvent],
        to_key: Callable[[bytes], object],  # noqa: ARG002 - Faust's interface; keys and values are bytes here
        to_value: Callable[[bytes], object],  # noqa: ARG002
    ) -> None:
        """Restore from the changelog; of two values of a key the one with the higher source offset stays."""
        metrics.restored_records.inc(len(batch))
        for event in batch:
            message = event.message
            key, value = message.key, message.value
            if value is None or key is None:
                continue
            items = self._partitions.setdefault(message.partition, {})
            if self.overtaken(message.partition).replaces(message, key, items.get(key)):
                items[key] = value

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Forget partitions that are neither served nor kept as standby here any more."""
        kept = {tp.partition for tp in active_tps | standby_tps}
        for partition in [p for p in self._partitions if p not in kept]:
            del self._partitions[partition]
            self._overtaken.pop(partition, None)
