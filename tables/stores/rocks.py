"""Market state in RocksDB, one database a partition, sized for state of a few megabytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from faust.stores import rocksdb
from faust.types import TP
from rocksdict import Rdict, WriteBatch

from streams import metrics
from streams.errors import Outage
from streams.settings import Settings
from tables.market.chunks import markets_of
from tables.stores.base import ChangelogEvent, Items, Overtaken, StoreApp

OPEN_FILES: Final = 64
"""Tables of a partition that are open at once."""

# Faust's defaults are a 2 GiB block cache and three 64 MiB buffers for every partition of every table.
OPTIONS: Final = {
    "block_cache_size": 8 * 1024**2,
    "write_buffer_size": 8 * 1024**2,
    "max_write_buffer_number": 2,
    "max_open_files": OPEN_FILES,
}

# Beside its tables: logs, locks, the list of files, and the directory.
OTHER_FILES: Final = 8


def files_of(settings: Settings) -> int:
    """Return how many files the stores of all partitions may have open; 0 where tables are elsewhere."""
    is_here = settings.table_store.startswith("rocksdb:")
    return settings.topic_partitions * (OPEN_FILES + OTHER_FILES) if is_here else 0


def is_of_disk(error: Exception) -> bool:
    """Whether it is the disk that refuses, and not the program that is wrong. RocksDB words that in two ways."""
    return isinstance(error, OSError) or str(error).startswith("IO error") or "(os error " in str(error)


class Store(rocksdb.Store):  # type: ignore[misc]
    """Faust's RocksDB store, with tuned options, market-wise access and restores that keep the higher offset."""

    app: StoreApp

    def __init__(
        self,
        url: object,
        app: StoreApp,
        table: object,
        *,
        options: Mapping[str, object] | None = None,
        **others: object,
    ) -> None:
        super().__init__(url, app, table, options={**OPTIONS, **(options or {}), "driver": "rocksdict"}, **others)
        self._overtaken: dict[int, Overtaken] = {}

    def _open_for_partition(self, partition: int) -> Rdict:
        """Open a database. Raises :class:`Outage` for what the disk refuses: for Faust it is a crash like any other."""
        try:
            database: Rdict = super()._open_for_partition(partition)
        except Exception as error:
            # One that is locked, by the last process on its way out, Faust tries again.
            if not is_of_disk(error) or "lock" in str(error).lower():
                raise
            raise Outage(
                f"the tables in {self.partition_path(partition)} cannot be opened: {error}; "
                "start again when they can, to go on from the last commit"
            ) from None
        return database

    async def load(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items of a partition whose keys begin with ``prefix``."""
        found = []
        for key, value in self._db_for_partition(partition).items(from_key=prefix):
            if not key.startswith(prefix):
                break
            found.append((key, value))
        return found

    async def peek(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return nothing: what others serve is with them."""
        return []

    async def save(self, partition: int, items: Items) -> None:
        """Write items, all or none."""
        batch = WriteBatch(raw_mode=True)
        for key, value in items.items():
            batch.put(key, value)
        self._db_for_partition(partition).write(batch)

    async def reach(self, partition: int, changelog_offset: int) -> None:
        """Remember how much of the changelog is here."""
        self._db_for_partition(partition).put(self.offset_key, str(changelog_offset).encode())

    async def markets(self, partition: int) -> set[tuple[str, str]]:
        """Return the (venue, symbol) of every market of a partition."""
        return markets_of(self._visible_keys(self._db_for_partition(partition)))

    def overtaken(self, partition: int) -> Overtaken:
        """Return what restores of a partition found behind newer values of the same keys."""
        return self._overtaken.setdefault(partition, Overtaken())

    def apply_changelog_batch(
        self,
        batch: Sequence[ChangelogEvent],
        to_key: Callable[[bytes], object],  # noqa: ARG002 - Faust's interface; keys and values are bytes here
        to_value: Callable[[bytes], object],  # noqa: ARG002
    ) -> None:
        """Restore from the changelog; of two values of a key the one with the higher source offset stays.

        If they cannot be written, the process ends and does nothing more with its tables. Faust would log the error and
        go on as if the records were there.
        """
        try:
            self._restore(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are not there
            self.app.cannot_store(error)

    def _restore(self, batch: Sequence[ChangelogEvent]) -> None:
        metrics.restored_records.inc(len(batch))
        writes: dict[int, dict[bytes, bytes]] = {}
        last: dict[TP, int] = {}
        for event in batch:
            message = event.message
            partition, key, value = message.partition, message.key, message.value
            last[message.tp] = max(message.offset, last.get(message.tp, -1))
            pending = writes.setdefault(partition, {})
            if value is None or key is None or key == self.offset_key:
                continue
            stored = pending.get(key) or self._db_for_partition(partition).get(key)
            if self.overtaken(partition).replaces(message, key, stored):
                pending[key] = value
        for partition, items in writes.items():
            db_batch = WriteBatch(raw_mode=True)
            for key, value in items.items():
                db_batch.put(key, value)
            self._db_for_partition(partition).write(db_batch)
        for tp, offset in last.items():
            self.set_persisted_offset(tp, self.overtaken(tp.partition).known_to(offset))
