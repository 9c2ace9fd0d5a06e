"""New and changed alerts, of any worker, since all are rows in Postgres."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from streams.errors import Outage
from streams.model.alert import AlertId
from tables.web.stream.board import Board
from tables.web.worker import AlertRecord, AlertSource

ALERTS_SECONDS: Final = 0.5
"""How often Postgres is asked: an alert is on open pages within a second of its row."""

# A row becomes visible when its transaction commits, which is later than the time in it.
OVERLAP: Final = timedelta(seconds=15)

RECENT: Final = 50
"""What a page is given when it opens. It shows four of them, and asks the API for history."""

REMEMBERED: Final = 5000
"""Ten times what one look brings at most, so that what it brings again is known."""


class RecentAlerts:
    """Takes alerts over to the board. ``available`` tells whether Postgres answered the last time.

    ``now`` returns unix seconds of a clock that Postgres's agrees with, but for :data:`OVERLAP`.
    """

    def __init__(self, source: AlertSource, board: Board, now: Callable[[], float]) -> None:
        self.available = True
        self._source = source
        self._board = board
        self._now = now
        self._asked: datetime | None = None
        self._seen: dict[AlertId, tuple[int, str | None, str]] = {}

    def forget(self) -> None:
        """Begin with the latest alerts the next time, since nobody watches now."""
        self._asked = None

    async def take(self) -> None:
        """Put what is new or changed since the last time on the board."""
        asked = datetime.fromtimestamp(self._now(), UTC)
        try:
            if self._asked is None:
                alerts = (await self._source.latest(RECENT))[::-1]
            else:
                alerts = await self._source.changed_since(self._asked - OVERLAP)
        except Outage:
            self.available = False
            return
        self._asked = asked
        self.available = True
        news = [alert for alert in alerts if self._is_news(alert)]
        if news:
            # Alerts are published at once. Rows may wait for their turn where many pages are open.
            self._board.put_alerts(news)
            self._board.publish()

    def _is_news(self, alert: AlertRecord) -> bool:
        key = AlertId(alert.rule, alert.venue, alert.symbol, alert.pane)
        state = (alert.revision, alert.delivery, alert.alert_severity)
        if self._seen.get(key) == state:
            return False
        self._seen.pop(key, None)
        self._seen[key] = state
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True
