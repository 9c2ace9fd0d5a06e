"""Which partition a symbol belongs to: Kafka's default partitioner, murmur2 of the key."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=100_000)
def partition_of(symbol: str, partitions: int) -> int:
    """Return the partition of a symbol among ``partitions``."""
    return int(murmur2(symbol.encode()) & 0x7FFFFFFF) % partitions
