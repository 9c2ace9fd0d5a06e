"""The broker for end-to-end tests: a real Kafka where one can run, the embedded one elsewhere, and that is said."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local.embedded.broker import EmbeddedBroker
from tests.kafka.server import RealKafka


class NotCovered(UserWarning):
    """Something this machine cannot test; pytest lists it once in its summary."""


@contextmanager
def real_or_embedded(directory: Path) -> Iterator[RealKafka | EmbeddedBroker]:
    """Start a real Kafka with its data in ``directory``, or the embedded broker; either has an ``address``."""
    reason = RealKafka.available()
    if reason is None:
        with RealKafka(directory) as kafka:
            yield kafka
    else:
        warnings.warn(f"not covered: a real Kafka ({reason}); the embedded broker serves instead", NotCovered, 2)
        with EmbeddedBroker() as broker:
            yield broker
