"""The program and its peers, by their names."""

from collections.abc import Mapping
from typing import Final

from tests.benchmarks.bench.liqmon import Liqmon
from tests.benchmarks.bench.peer import JavaPeer, PythonPeer
from tests.benchmarks.bench.system import System

OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time", "java.nio")
)
_ALL: Final[tuple[System, ...]] = (
    Liqmon(),
    JavaPeer("kafka-streams", "kafka-streams", "peers.KafkaStreamsPeer", restores=True),
    JavaPeer("flink", "flink", "peers.FlinkPeer", options=OPENED),
    JavaPeer("kafka-streams-windows", "kafka-streams", "peers.KafkaStreamsWindowsPeer", share=0.05),
    JavaPeer("flink-windows", "flink", "peers.FlinkWindowsPeer", options=OPENED, share=0.05),
    PythonPeer("bytewax", "in_bytewax", "bytewax[kafka]==0.21.1", "orjson==3.13.0", share=0.5),
    PythonPeer("quix", "in_quix", "quixstreams==3.23.1", share=0.2),
    PythonPeer("faust", "in_faust", share=0.05),
    PythonPeer("deque", "in_deque", share=0.5),
)
SYSTEMS: Final[Mapping[str, System]] = {system.name: system for system in _ALL}
USUAL: Final = ("liqmon", "kafka-streams", "flink")
"""What is measured where nobody names systems: all of them would take twice as long."""
