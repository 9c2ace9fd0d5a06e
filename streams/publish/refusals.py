"""What becomes of a record that a producer refuses: a dead letter, a line in the log, and a place in the summary."""

import logging
from typing import Final

from streams.model import deadletters
from streams.model.deadletters import DeadLetter
from streams.model.tally import Tally
from streams.model.trade import Reject
from streams.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

ORIGIN: Final = "producer"


class Refusals:
    """Counts what is refused, and says the first record of each reason."""

    def __init__(self) -> None:
        self._reasons_said: set[str] = set()
        self._tally = Tally()

    def letter(self, refused: Reject, refused_us: int) -> bytes:
        """Return the dead letter that keeps a refused record."""
        reason = refused.reason
        self._tally.refuse(refused)
        detail, payload = deadletters.fitted(refused.detail, refused.payload)
        if reason not in self._reasons_said:
            self._reasons_said.add(reason)
            log.warning(
                "refused a record of %s (%s: %s); it is kept in topic %s, more of this kind are only counted",
                refused.venue or "a feed",
                reason,
                detail,
                DEAD_LETTERS,
            )
        letter = DeadLetter(reason, detail, payload, ORIGIN, refused.venue, refused.symbol, refused_us=refused_us)
        return deadletters.encode(letter)

    def reasons(self) -> str:
        """Return in words why records were refused, and which was the first."""
        return self._tally.reasons()
