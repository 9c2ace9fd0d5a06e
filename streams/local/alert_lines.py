"""Alerts as lines: each one, and where they come by the thousand, some of them and the number of the rest."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from streams.local.report import alert_line
from streams.model.alert import Alert
from streams.severities import SEVERITIES
from streams.words import counted

# More than a screen in ten seconds is read by nobody.
MOST_LINES: Final = 50
FOLD_SECONDS: Final = 10.0


class AlertLines:
    """Prints the first alerts of every ten seconds, and of the others one line that counts them.

    ``where`` says where all of them are to be seen.
    """

    def __init__(
        self, say: Callable[[str], None], where: str, *, colour: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._where = where
        self._colour = colour
        self._clock = clock
        self._since = 0.0
        self._printed = 0
        self._folded: Counter[str] = Counter()

    def show(self, alert: Alert) -> None:
        """Print an alert, or count it."""
        self.fold()
        if self._clock() - self._since >= FOLD_SECONDS:
            self._since, self._printed = self._clock(), 0
        if self._printed < MOST_LINES:
            self._printed += 1
            self._say(alert_line(alert, colour=self._colour))
        else:
            self._folded[alert.severity] += 1

    def fold(self, *, at_once: bool = False) -> None:
        """Print how many were only counted, once ten seconds are over or ``at_once``."""
        if self._folded and (at_once or self._clock() - self._since >= FOLD_SECONDS):
            kinds = ", ".join(f"{self._folded[name]:,} {name}" for name in SEVERITIES if self._folded[name])
            self._say(f"... and {counted(self._folded.total(), 'more alert')} ({kinds}): see {self._where}")
            self._folded.clear()
