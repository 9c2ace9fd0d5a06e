"""What a worker does when the broker was replaced while its RocksDB stayed: carry the state over to the new broker.

Faust would crash again and again, since the local store claims a changelog that no longer exists. The state itself is
right, and it is nowhere else. So before the worker joins the group, its values are sent to the new changelog, and the
old database is moved aside. Offsets of the new log start at 0: stored ones are shifted below all of them, in their
order.
"""

import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rocksdict import Options, Rdict

from streams.kafka.outbound import Record
from tables.market.chunks import shifted

log = logging.getLogger(__name__)

OFFSET_KEY: Final = b"__faust\0offset__"
ASIDE: Final = ".before-"
CLUSTER: Final = ".cluster"

# Beyond any offset, and small enough that a thousand replaced brokers still fit 63 bits.
OLD_LOG: Final = 2**52

Deliver = Callable[[list[Record]], Awaitable[object]]


async def carry_over(
    directory: Path, table: str, changelog: str, cluster: str, ends: Mapping[int, int], deliver: Deliver
) -> int:
    """Send the state of databases that another broker's changelog made to this one's, and move them aside.

    ``directory`` holds Faust's databases, and the name of the cluster that the last call left there. If ``cluster`` is
    another one, all databases are carried over. Otherwise those are that are ahead of their changelog, since a new
    broker may have an old one's name. ``ends`` is the end offset of each partition of the changelog. ``deliver``
    returns when the broker has the records. Return how many databases were moved.
    """
    moved = 0
    is_other = _cluster_of(directory, table) not in (None, cluster)
    for partition, path in _databases(directory, table):
        persisted, items = _read(path)
        if persisted < ends.get(partition, 0) and not is_other:
            continue
        log.warning(
            "the broker was replaced: partition %d of the table %s is at changelog offset %d and the changelog ends "
            "at %d; carrying %d values over",
            partition,
            table,
            persisted,
            ends.get(partition, 0),
            len(items),
        )
        await deliver([Record(changelog, key, shifted(value, -OLD_LOG), partition) for key, value in items])
        _move_aside(path)
        moved += 1
    _keep_cluster(directory, table, cluster)
    return moved


def _cluster_of(directory: Path, table: str) -> str | None:
    path = directory / f"{table}{CLUSTER}"
    return path.read_text() if path.exists() else None


def _keep_cluster(directory: Path, table: str, cluster: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{table}{CLUSTER}").write_text(cluster)


def _databases(directory: Path, table: str) -> list[tuple[int, Path]]:
    paths = sorted(directory.glob(f"{table}-*.db"))
    return [(int(path.name.removeprefix(f"{table}-").removesuffix(".db")), path) for path in paths]


def _move_aside(path: Path) -> None:
    for old in path.parent.glob(f"{path.name}{ASIDE}*"):
        shutil.rmtree(old, ignore_errors=True)
    path.rename(path.with_name(f"{path.name}{ASIDE}{int(time.time())}"))


def _read(path: Path) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Return the changelog offset a database stands for (-1 for none) and its items."""
    database = Rdict(str(path), Options(raw_mode=True))
    try:
        offset = database.get(OFFSET_KEY)
        items: list[tuple[Any, Any]] = [(key, value) for key, value in database.items() if key != OFFSET_KEY]
        return int(offset) if offset is not None else -1, items
    finally:
        database.close()
