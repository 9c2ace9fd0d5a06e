"""What RocksDB itself is told."""

from pathlib import Path

import pytest

from streams.errors import Outage
from tests.tables.stores.conftest import OwnerFactory, item


async def test_a_partition_takes_megabytes_of_memory(new_owner: OwnerFactory, tmp_path: Path) -> None:
    """By the database's own word. Faust's defaults are a cache of 2 GiB and 192 MiB of buffers, each partition."""
    owner = await new_owner("rocksdb", 0)
    await owner.write(item("BTC/USD", 1))
    database = owner.store._db_for_partition(0)  # type: ignore[attr-defined]
    assert database.property_int_value("rocksdb.block-cache-capacity") == 8 * 1024**2
    (options,) = (path.read_text().split() for path in tmp_path.rglob("OPTIONS-*"))
    assert {f"write_buffer_size={8 * 1024**2}", "max_write_buffer_number=2", "max_open_files=64"} <= set(options)


async def test_a_database_that_the_disk_refuses_is_an_outage(new_owner: OwnerFactory) -> None:
    """Not a crash: it says where, and that a start goes on once it can be opened."""
    owner = await new_owner("rocksdb", 0)
    path = owner.store.partition_path(1)  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no directory")
    with pytest.raises(Outage, match=r"cannot be opened.*start again"):
        owner.store._db_for_partition(1)  # type: ignore[attr-defined]
