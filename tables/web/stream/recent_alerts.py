"""New and changed alerts, of any worker, since all are rows in Postgres."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from streams.errors import Outage
from tables.web.stream.board import Board

ALERTS_SECONDS: Final = 0.5
# A row is visible when its transaction commits, later than its time says.
OVERLAP: Final = timedelta(seconds=15)
RECENT: Final = 50
REMEMBERED: Final = 5000


class AlertSource(Protocol):
    """Where alerts' rows come from. All raise :class:`streams.errors.Outage` when Postgres does not answer."""

    row_type: type[msgspec.Struct]

    async def find(
        self,
        *,
        venue: str | None,
        symbol: str | None,
        rules: Sequence[str],
        severities: Sequence[str],
        since: int | None,
        until: int | None,
        limit: int,
    ) -> list[Any]:
        """Return alerts, newest first; what is None or empty takes all."""
        ...

    async def latest(self, limit: int) -> list[Any]:
        """Return the latest alerts, newest first."""
        ...

    async def changed_since(self, moment: datetime) -> list[Any]:
        """Return alerts recorded, brought up to date or delivered since ``moment``, oldest change first."""
        ...


class RecentAlerts:
    """Takes alerts over to the board. ``available`` tells whether Postgres answered the last time."""

    def __init__(self, history: AlertSource, board: Board) -> None:
        self.available = True
        self._history = history
        self._board = board
        self._asked: datetime | None = None
        self._seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def forget(self) -> None:
        """Begin with the latest alerts the next time: nobody has looked since."""
        self._asked = None

    async def take(self) -> None:
        """Put what is new or changed since the last time on the board."""
        asked = datetime.now(UTC)
        try:
            if self._asked is None:
                alerts = list(reversed(await self._history.latest(RECENT)))
            else:
                alerts = await self._history.changed_since(self._asked - OVERLAP)
        except Outage:
            self.available = False
            return
        self._asked = asked
        self.available = True
        news = [alert for alert in alerts if self._is_news(alert)]
        if news:
            # At once: rows may wait for their turn where many pages are open, alerts may not.
            self._board.put_alerts(news)
            self._board.publish()

    def _is_news(self, alert: Any) -> bool:
        key = (alert.rule, alert.venue, alert.symbol, alert.pane)
        state = (alert.revision, alert.delivery, alert.alert_severity)
        if self._seen.get(key) == state:
            return False
        self._seen.pop(key, None)
        self._seen[key] = state
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True
