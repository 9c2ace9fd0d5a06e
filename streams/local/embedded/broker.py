"""A broker that speaks the Kafka protocol: librdkafka's mock cluster in a process of its own.

It has offsets, consumer groups and rebalances as Kafka has. Topics appear on first use, with 4 partitions. It keeps
about 5 MB per partition in memory and nothing on disk, so each start is an empty broker.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from streams.local.embedded.process import Child

# The mock cluster's own default, which its Python client cannot change.
PARTITIONS: Final = 4
# It starts in a fifth of a second. A machine that is busy with tests may take a hundred times as long.
START_SECONDS: Final = 20


class EmbeddedBroker:
    """The embedded broker as a child process, started on construction."""

    def __init__(self, *, log: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "streams.local.embedded.mock_cluster"]
        self.child = Child("the embedded broker", command, log=log, environment=environment, first_line=True)
        self._address = ""

    @property
    def address(self) -> str:
        """Its ``host:port``. Waits for the start; raises :class:`streams.errors.Fatal` when there is none."""
        if not self._address:
            self._address = self.child.read_first_line(START_SECONDS)
        return self._address

    def stop(self) -> None:
        """End it; what it kept is gone."""
        self.child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
