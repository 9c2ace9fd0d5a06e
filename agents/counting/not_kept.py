"""Says in the log that messages of markets were put aside that are not kept: once a minute, however many there are."""

import logging
from collections import Counter
from typing import Final

from streams.errors import BadRecord
from streams.words import counted

log = logging.getLogger(__name__)

SAY_SECONDS: Final = 60.0


class NotKept:
    """Counts what was put aside, by reason, since it was last said."""

    def __init__(self) -> None:
        self._since_said: Counter[str] = Counter()
        self._said: float | None = None

    def add(self, error: BadRecord, now: float) -> None:
        """Count a message that was put aside, and say how many there are where that was not said for a minute."""
        self._since_said[error.reason] += 1
        if self._said is not None and now - self._said < SAY_SECONDS:
            return
        self._said = now
        log.warning(
            "%s of markets that are not kept went to the dead letters (%s), the last because %s",
            counted(self._since_said.total(), "message"),
            ", ".join(f"{reason}: {count}" for reason, count in self._since_said.items()),
            error.detail,
        )
        self._since_said.clear()
