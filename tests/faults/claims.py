"""What the workers' own stores claim to hold of the changelog, against the changelog itself."""

import asyncio
from pathlib import Path

from rocksdict import Options, Rdict

from tables.stores.base import newer
from tests.faults.judge import CHANGELOG
from tests.faults.stack import Stack

CLAIM = b"__faust\0offset__"


async def check_claims(stack: Stack) -> int:
    """Stop the workers; what their RocksDB claims of the changelog must all be there, or newer. Start them again.

    A restore begins behind the claim. A record that is missing before it would be missing in windows that the worker
    serves once it owns the partition. Return how many values were compared. Raises :class:`AssertionError`.
    """
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop)
    changelog = await stack.ledger.read(CHANGELOG)
    compared = 0
    lacking = []
    for path in sorted(stack.directory.glob("worker*/data/*/tables/panes-*.db")):
        held = _items(path)
        claim = int(held.get(CLAIM, b"-1"))
        partition = int(path.stem.rpartition("-")[2])
        claimed: dict[bytes, bytes] = {}
        for entry in changelog:
            if entry.partition == partition and entry.offset <= claim and newer(claimed.get(entry.key), entry.value):
                claimed[entry.key] = entry.value
        lacking += [
            f"{path} claims {claim} and lacks the last {key!r}"
            for key, value in claimed.items()
            if key not in held or not newer(value, held[key])
        ]
        compared += len(claimed)
    for worker in stack.workers:
        worker.start()
    assert not lacking, lacking[:5]
    assert compared
    return compared


def _items(path: Path) -> dict[bytes, bytes]:
    store = Rdict(str(path), Options(raw_mode=True))
    try:
        return {key: value for key, value in store.items() if isinstance(key, bytes)}
    finally:
        store.close()
