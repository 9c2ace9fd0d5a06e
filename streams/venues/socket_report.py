"""What a socket's feed tells people of its symbols and of what the venue says: lines of the log, and metrics."""

import logging
from collections.abc import Iterable
from typing import Final

from streams import metrics
from streams.venues.parsed import Ack, Parsed
from streams.venues.sayings import Sayings
from streams.venues.subscriptions import Phase, Requests, Subscriptions

log = logging.getLogger(__name__)

# A maintenance of hours is said every ten minutes.
SAY_AGAIN_SECONDS: Final = 600.0
# The longest text of a venue that a line holds.
MAX_TEXT: Final = 200
# A symbol that was asked for three times without a good answer is missing, and so is one of a lost connection.
MISSING_SECONDS: Final = 30.0


class SocketReport:
    """Says each thing once in a while, however often the venue does. ``venue`` is the venue's name."""

    def __init__(self, venue: str, symbols: int) -> None:
        self._venue = venue
        self._notices = Sayings(SAY_AGAIN_SECONDS)
        self._warnings = Sayings()
        self._kinds = Sayings()
        self._warned = metrics.feed_warnings.labels(venue)
        self._subscribed = metrics.subscribed_symbols.labels(venue)
        self._refused = metrics.refused_symbols.labels(venue)
        metrics.feed_symbols.labels(venue).set(symbols)

    def show(self, subscriptions: Subscriptions, *, is_connected: bool) -> None:
        """Bring the gauges up to date."""
        self._subscribed.set(len(subscriptions.in_phase(Phase.ACTIVE)) if is_connected else 0)
        self._refused.set(len(subscriptions.refused()))

    def refused(self, symbols: Iterable[str], ack: Ack) -> None:
        """Name symbols that the venue does not have."""
        for symbol in symbols:
            log.warning(
                "%s refuses %s: %s; the other symbols go on",
                self._venue,
                symbol,
                ack.error[:MAX_TEXT] or "no reason",
            )

    def put_off(self, ack: Ack, pause_seconds: float, now: float) -> None:
        """Say that the venue did not take a request, and when it is asked again."""
        error = ack.error[:MAX_TEXT] or "no reason"
        if self._notices.is_due(f"put off: {error}", now):
            what = ack.symbol or "a subscription"
            log.warning(
                "%s does not take %s now: %s; asking again in %.0f s, and on", self._venue, what, error, pause_seconds
            )

    def asked(self, requests: Requests) -> None:
        """Name the symbols that are asked for again, each time that their trouble is new."""
        if requests.unanswered:
            log.warning("%s did not acknowledge %s; asking again", self._venue, some(requests.unanswered))
        if requests.newly_stale:
            log.warning("%s is silent on %s; subscribing again", self._venue, some(requests.newly_stale))
        if requests.unsubscribe:
            metrics.resubscriptions.labels(self._venue).inc(len(requests.unsubscribe))

    def said(self, parsed: Parsed, now: float) -> None:
        """Repeat what the venue says beside trades and answers."""
        notice = parsed.notice[:MAX_TEXT]
        if notice and self._notices.is_due(notice, now):
            log.warning("%s says: %s", self._venue, notice)
        for warning in parsed.warnings:
            self._warned.inc()
            text = warning[:MAX_TEXT]
            if self._warnings.is_due(text, now):
                log.warning("%s warns in an acknowledgement: %s", self._venue, text)

    def unknown_kind(self, word: str, now: float) -> None:
        """Name a kind of trade that the program does not know, once."""
        if self._kinds.is_due(word, now):
            log.warning(
                "%s has trades of the kind %r, which is not known here; they are kept and counted, in no window",
                self._venue,
                word,
            )


def some(symbols: list[str]) -> str:
    """Return the symbols for a line of the log: the first ten of them."""
    shown = ", ".join(symbols[:10])
    return shown if len(symbols) <= 10 else f"{shown} and {len(symbols) - 10} more"
