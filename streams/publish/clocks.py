"""Which clock a producer goes by: the broker's where that is known, else its own, and whether its own is right.

A producer compares its clock with the broker's and with the stamps of live trades. Workers judge by the broker's time,
so a trade that they would refuse is refused here by the same, before anything is marked as published.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from streams import metrics
from streams.kafka.broker_clock import BrokerClock, steady_us, wall_us
from streams.model.connection import Connection
from streams.model.trade import Trade
from streams.settings import Settings

log = logging.getLogger(__name__)

MICROS: Final = 1_000_000
STAMPS_SECONDS: Final = 60
"""How far back stamps of trades are compared: a connection that stood still has passed on what it held by then."""
MOST_STAMPS: Final = 500
# The median of as few: one trade with an impossible time must not say that this machine's clock is wrong.
LEAST_STAMPS: Final = 5
# A socket that plays old trades says nothing of the time, and no clock that works is a day off.
PLAYED_SECONDS: Final = 86_400
# A look at every batch would cost more than the batch.
LOOK_US: Final = MICROS // 2


class VenueStamps:
    """By how much the event times of a venue's live trades are ahead of this machine's steady clock when they come.

    The median counts: a few that were held back, or that bear an impossible time, do not.
    """

    def __init__(self) -> None:
        self._stamps: deque[tuple[int, int]] = deque(maxlen=MOST_STAMPS)

    def heard(self, at_us: int, ahead_us: int) -> None:
        """Take note of a trade that came at ``at_us`` of the steady clock."""
        self._stamps.append((at_us, ahead_us))

    def ahead_us(self, now_us: int) -> float | None:
        """Return by how much the venue's clock is ahead of the steady one; None where too few trades came."""
        while self._stamps and self._stamps[0][0] < now_us - STAMPS_SECONDS * MICROS:
            self._stamps.popleft()
        return median(ahead for _, ahead in self._stamps) if len(self._stamps) >= LEAST_STAMPS else None


class Reading(NamedTuple):
    """What a look at the clocks said, microseconds.

    ``own_us`` is this machine's time, ``ahead_us`` by how much that is ahead of the clock that counts, ``latest_us``
    what :meth:`Clocks.latest_us` returns.
    """

    own_us: int
    ahead_us: int
    latest_us: int


class Clocks:
    """The clocks that a producer knows. ``wall`` and ``steady`` return microseconds of this machine's."""

    def __init__(
        self,
        settings: Settings,
        broker: BrokerClock,
        wall: Callable[[], int] = wall_us,
        steady: Callable[[], int] = steady_us,
    ) -> None:
        self._max_future_us = settings.max_future_seconds * MICROS
        self._limit_us = settings.max_clock_skew_seconds * MICROS
        metrics.clock_skew_limit_seconds.set(settings.max_clock_skew_seconds)
        self._broker = broker
        self._wall = wall
        self._steady = steady
        self._venues: dict[str, VenueStamps] = {}
        self._venue_ahead_us: float | None = None
        self._looked_us = -LOOK_US
        self._said = ""

    def heard(self, trades: Sequence[Trade], received_us: int) -> None:
        """Compare with the newest live trade of what a venue's socket brought at ``received_us``."""
        trade = next((trade for trade in reversed(trades) if not trade.is_snapshot), None)
        if trade is None:
            return
        stamps = self._venues.setdefault(trade.venue, VenueStamps())
        steady_us = self._steady()
        # By the steady clock, so that what came before this machine's clock was set still counts.
        stamps.heard(steady_us, trade.time_us - received_us + self._wall() - steady_us)

    def broker_skew_us(self) -> float | None:
        """Return by how much this machine's clock is ahead of the broker's; None where that is not known."""
        skew = self._broker.skew_seconds()
        return None if skew is None else skew * MICROS

    def venue_skew_us(self) -> float | None:
        """Return by how much this machine's clock is ahead of the stamps of the venue that it agrees with the most.

        A venue whose stamps are late is no fault of this clock. None where no venue says anything.
        """
        steady_us = self._steady()
        if steady_us - self._looked_us >= LOOK_US:
            self._looked_us = steady_us
            own_ahead_us = self._wall() - steady_us
            found = [ahead for venue in self._venues.values() if (ahead := venue.ahead_us(steady_us)) is not None]
            told = [ahead for ahead in found if abs(own_ahead_us - ahead) < PLAYED_SECONDS * MICROS]
            self._venue_ahead_us = min(told, key=lambda ahead: abs(own_ahead_us - ahead), default=None)
        if self._venue_ahead_us is None:
            return None
        return self._wall() - steady_us - self._venue_ahead_us

    @property
    def broker_is_wrong(self) -> bool:
        """Whether the broker's clock is so far behind this one, and the venue's, that workers would refuse trades."""
        return self._is_wrong(self.broker_skew_us(), self.venue_skew_us())

    def _is_wrong(self, broker: float | None, venue: float | None) -> bool:
        if broker is None or venue is None:
            return False
        return abs(venue) <= self._limit_us and broker > max(self._limit_us, self._max_future_us - self._limit_us)

    def skew_us(self) -> float:
        """Return by how much this machine's clock is ahead of the one that counts."""
        broker, venue = self.broker_skew_us(), self.venue_skew_us()
        if broker is not None:
            return 0.0 if self._is_wrong(broker, venue) else broker
        # Stamps are late by what the way takes, so they only count against a clock that is plainly wrong.
        return venue if venue is not None and abs(venue) > self._limit_us else 0.0

    def now_us(self) -> int:
        """Return the time by the clock that counts, microseconds UTC."""
        return self._wall() - round(self.skew_us())

    def read(self) -> "Reading":
        """Look at the clocks once, for many times that are to be corrected in the same moment."""
        own_us, ahead_us = self._wall(), round(self.skew_us())
        return Reading(own_us, ahead_us, own_us - ahead_us + self._max_future_us)

    def timed(self, connection: Connection) -> Connection:
        """Return what is known of a socket, with its times by the clock that counts."""
        ahead = self.skew_us() / MICROS
        since, last = connection.since, connection.last_message
        return msgspec.structs.replace(
            connection,
            since=None if since is None else since - ahead,
            last_message=None if last is None else last - ahead,
        )

    def latest_us(self, record_us: int | None = None) -> int:
        """Return the latest time that a trade may have; ``record_us`` is the time of its record, where it has one."""
        now_us = self.now_us()
        return (now_us if record_us is None else min(record_us, now_us)) + self._max_future_us

    def wrong(self) -> str:
        """Return what is wrong with this machine's clock, for people; empty while it is right. Says it once."""
        found = []
        for name, skew in (("the broker's", self.broker_skew_us()), ("the venue's", self.venue_skew_us())):
            if skew is not None and abs(skew) > self._limit_us:
                found.append(f"{abs(skew) / MICROS:.1f} s {'ahead of' if skew > 0 else 'behind'} {name}")
        kind = ", ".join(words.partition(" s ")[2] for words in found)
        if kind != self._said:
            self._say(kind, found)
        return f"this machine's clock is {' and '.join(found)}" if found else ""

    def _say(self, kind: str, found: list[str]) -> None:
        self._said = kind
        if not found:
            log.info("the clocks of this machine, the broker and the venue agree again")
        else:
            log.error(
                "this machine's clock is %s, more than MAX_CLOCK_SKEW_SECONDS: set right the one that is wrong%s",
                " and ".join(found),
                "; trades wait here, since workers would refuse them by the broker's clock"
                if self.broker_is_wrong
                else "",
            )

    def details(self) -> dict[str, Any]:
        """Return what is known of the clocks, for the status page, and bring the metrics up to date."""
        skews = {"broker": self.broker_skew_us(), "venue": self.venue_skew_us()}
        for against, skew in skews.items():
            if skew is not None:
                metrics.clock_skew_seconds.labels(against).set(skew / MICROS)
        told = {against: None if skew is None else round(skew / MICROS, 3) for against, skew in skews.items()}
        return {"clock_skew_seconds": told, "clock": self.wrong()}
