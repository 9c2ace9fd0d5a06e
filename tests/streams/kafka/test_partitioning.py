"""A symbol is on the partition where every other Kafka client puts it."""

import pytest
from aiokafka.partitioner import DefaultPartitioner

from streams.kafka.partitioning import partition_of

# Hashes from Kafka's own tests of its Java client.
JAVA_HASHES = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA_HASHES)
@pytest.mark.parametrize("partitions", [1, 4, 7, 1000])
def test_as_javas_default_partitioner(key: str, partitions: int) -> None:
    """So that tools in any language publish a market to its owner."""
    assert partition_of(key, partitions) == (JAVA_HASHES[key] & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/USD", "PF_XBTUSD", "PI_XBTUSD", "€/USD"])
@pytest.mark.parametrize("partitions", [1, 3, 4, 16])
def test_as_the_producers_client(symbol: str, partitions: int) -> None:
    """Producer and worker must agree."""
    everywhere = list(range(partitions))
    assert partition_of(symbol, partitions) == DefaultPartitioner()(symbol.encode(), everywhere, everywhere)
