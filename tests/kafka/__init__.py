"""Apache Kafka itself for the tests: its jars from Maven Central, one KRaft node on loopback."""

from tests.kafka.either import NotCovered, real_or_embedded
from tests.kafka.jars import KafkaUnavailable
from tests.kafka.server import RealKafka

__all__ = ["KafkaUnavailable", "NotCovered", "RealKafka", "real_or_embedded"]
