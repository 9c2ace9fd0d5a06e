"""Which symbols are asked for, acknowledged, refused or silent on one socket. Pure: the caller reads the clock.

Only a definite answer is a refusal. After any other error all is asked for again after a pause, in smaller groups and
one group at a time. So one symbol cannot keep the others from being subscribed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.venues.parsed import Ack
from streams.venues.request_pace import RequestPace

# Kraken also refuses symbols during an outage, so a refused one is asked for again after ten minutes.
REFUSED_RETRY_SECONDS: Final = 600.0
# A market that is merely quiet is asked for less and less often: with the default of 300 s, at last every 80 minutes.
MOST_STALE_FACTOR: Final = 16

_NEVER: Final = float("-inf")


class Phase(Enum):
    """Where a symbol's subscription stands."""

    WAITING = "waiting"
    ASKED = "asked"
    ACTIVE = "active"
    REFUSED = "refused"


@dataclass(slots=True)
class _Symbol:
    phase: Phase = Phase.WAITING
    # Who waits longest is asked for first.
    since: float = _NEVER
    # A suspect is asked for alone. An answer that names no symbol can then only mean this one.
    is_suspect: bool = False
    # Stays until the symbol is accepted, so that a new connection does not make it one that is missing.
    is_refused: bool = False
    missing_since: float | None = None
    stale_factor: int = 1
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Requests:
    """What to send now: ``unsubscribe`` (the symbols found silent) first, then each group of ``subscribe``.

    ``unanswered`` and ``newly_stale`` are the symbols in trouble that were not reported before.
    """

    subscribe: list[list[str]]
    unsubscribe: list[str]
    unanswered: list[str]
    newly_stale: list[str]


class Subscriptions:
    """The symbols of one feed. Times are seconds of a monotonic clock, read by the caller."""

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        chunk: int,
        ack_timeout_seconds: float,
        stale_seconds: float,
        pace: RequestPace | None = None,
    ) -> None:
        self._symbols = {symbol: _Symbol() for symbol in symbols}
        self._chunk = chunk
        # While the venue puts requests off, groups are smaller and one is asked for at a time.
        self._size = chunk
        self._is_careful = False
        self._ack_timeout_seconds = ack_timeout_seconds
        self._stale_seconds = stale_seconds
        self.pace = pace or RequestPace()

    def phase(self, symbol: str) -> Phase:
        """Return where the symbol stands. Raises :class:`KeyError` for one that was never wanted."""
        return self._symbols[symbol].phase

    @property
    def has_suspects(self) -> bool:
        """Whether a symbol waits to be asked for alone."""
        return any(entry.is_suspect for entry in self._symbols.values())

    @property
    def waits_for_turn(self) -> bool:
        """Whether an answer can make the next request due: a group, or a symbol alone, waits for the one before."""
        return self._is_careful or self.has_suspects

    def in_phase(self, phase: Phase) -> list[str]:
        """Return the symbols that stand there, in the order of the settings."""
        return [symbol for symbol, entry in self._symbols.items() if entry.phase is phase]

    def refused(self) -> list[str]:
        """Return the symbols that the venue definitely does not have, in the order of the settings."""
        return [symbol for symbol, entry in self._symbols.items() if entry.is_refused]

    def missing(self, now: float, seconds: float) -> list[str]:
        """Return the symbols that are neither subscribed nor refused, for at least so long."""
        return [
            symbol
            for symbol, entry in self._symbols.items()
            if entry.missing_since is not None and not entry.is_refused and now - entry.missing_since >= seconds
        ]

    def connected(self, now: float) -> None:
        """Begin on a new socket: every symbol is asked for again, and each refused one by itself."""
        for entry in self._symbols.values():
            if entry.is_refused:
                entry.is_suspect = True
            elif not entry.is_suspect:
                entry.since = _NEVER
            entry.phase = Phase.WAITING
        self.lost(now)

    def lost(self, now: float) -> None:
        """Count every symbol as missing from now on: no socket is open."""
        for entry in self._symbols.values():
            if entry.missing_since is None:
                entry.missing_since = now

    def online(self) -> None:
        """Ask again at once for all that is missing, also for what was refused: the exchange is back."""
        self.pace.resume()
        for entry in self._symbols.values():
            if entry.phase is Phase.REFUSED:
                entry.is_suspect = True
            if entry.phase is not Phase.ACTIVE:
                entry.phase = Phase.WAITING

    def answered(self, ack: Ack, now: float) -> list[str]:
        """Take an answer. Return the symbols that are refused for the first time, which are then reported by name."""
        asked = self.in_phase(Phase.ASKED)
        # Without a symbol, the only one without an answer is meant.
        symbol = ack.symbol or (asked[0] if len(asked) == 1 else "")
        if ack.accepted and symbol:
            self.pace.accepted()
            self._size = min(self._chunk, self._size + 1)
            self._accept(symbol, now)
            return []
        if ack.accepted or not ack.is_definite:
            self._put_off(ack.symbol, asked, now)
            return []
        if symbol:
            return self._refuse(symbol, now)
        for symbol in asked:
            self._symbols[symbol].phase = Phase.WAITING
            self._symbols[symbol].is_suspect = True
        return []

    def heard(self, symbol: str, now: float) -> None:
        """Take a trade or a snapshot as a sign that the subscription works."""
        entry = self._symbols.get(symbol)
        if entry is not None and entry.phase is Phase.ACTIVE:
            entry.since = now

    def traded(self, symbol: str, now: float) -> None:
        """Take a live trade: the symbol is not silent, and its next silence is reported again."""
        entry = self._symbols.get(symbol)
        if entry is not None:
            entry.stale_factor = 1
            entry.reported = False
            self._accept(symbol, now)

    def forgive(self, seconds: float) -> None:
        """Do not count these seconds as silence: nobody read the socket."""
        for entry in self._symbols.values():
            entry.since += seconds
            if entry.missing_since is not None:
                entry.missing_since += seconds

    def due(self, now: float, *, is_online: bool) -> Requests:
        """Return the requests to send now and mark their symbols as asked for.

        While the exchange is not online, no symbol counts as silent.
        """
        room = self.pace.room(now)
        unanswered, silent, stale, newly_stale = [], [], [], []
        for symbol, entry in self._symbols.items():
            age = now - entry.since
            if entry.phase is Phase.ACTIVE and not is_online:
                entry.since = now
            elif entry.phase is Phase.ACTIVE and age >= self._stale_seconds * entry.stale_factor:
                # What is ended must be asked for again at once.
                if room < 2:
                    continue
                stale.append(symbol)
                if not entry.reported:
                    newly_stale.append(symbol)
                entry.stale_factor = min(entry.stale_factor * 2, MOST_STALE_FACTOR)
                entry.reported = True
                self._wait(entry, now)
            elif entry.phase is Phase.ASKED and age >= self._ack_timeout_seconds:
                silent.append(symbol)
                if not entry.reported:
                    unanswered.append(symbol)
                entry.reported = True
                entry.phase = Phase.WAITING
            elif entry.phase is Phase.REFUSED and age >= REFUSED_RETRY_SECONDS:
                entry.is_suspect = True
                entry.phase = Phase.WAITING
        self._be_careful(silent)
        if stale:
            self.pace.took(1)
            room -= 1
        groups = self._take(now, room)
        self.pace.took(len(groups))
        return Requests(groups, stale, unanswered, newly_stale)

    def _take(self, now: float, room: int) -> list[list[str]]:
        waiting = sorted(self.in_phase(Phase.WAITING), key=lambda symbol: self._symbols[symbol].since)
        asked = self.in_phase(Phase.ASKED)
        plain = [symbol for symbol in waiting if not self._symbols[symbol].is_suspect]
        if not plain and not asked:
            self._size, self._is_careful = self._chunk, False
        if not waiting or room <= 0:
            return []
        if asked and (self._is_careful or any(self._symbols[symbol].is_suspect for symbol in asked)):
            return []
        if not asked and self._symbols[waiting[0]].is_suspect:
            groups = [waiting[:1]]
        else:
            most = 1 if self._is_careful else room
            starts = range(0, len(plain), self._size)
            groups = [plain[start : start + self._size] for start in starts[:most]]
        for group in groups:
            for symbol in group:
                entry = self._symbols[symbol]
                entry.phase, entry.since = Phase.ASKED, now
        return groups

    def _accept(self, symbol: str, now: float) -> None:
        entry = self._symbols.get(symbol)
        if entry is not None:
            entry.phase, entry.since = Phase.ACTIVE, now
            entry.is_suspect = entry.is_refused = False
            entry.missing_since = None

    def _refuse(self, symbol: str, now: float) -> list[str]:
        entry = self._symbols.get(symbol)
        if entry is None:
            return []
        first = not entry.is_refused
        self._wait(entry, now)
        entry.phase, entry.since = Phase.REFUSED, now
        entry.is_refused = True
        entry.is_suspect = False
        return [symbol] if first else []

    def _put_off(self, named: str, asked: list[str], now: float) -> None:
        """Ask again after a pause. Without a name, any symbol without an answer may be meant."""
        self.pace.put_off(now)
        for symbol in asked:
            if not named or symbol == named:
                self._symbols[symbol].phase, self._symbols[symbol].since = Phase.WAITING, now
        if not named:
            self._be_careful(asked)

    def _be_careful(self, failed: list[str]) -> None:
        """Ask for fewer symbols at a time: one of these may have spoiled the request for the others.

        One that failed alone is asked for alone from now on, and must not make the groups of the others small.
        """
        if len(failed) == 1:
            self._symbols[failed[0]].is_suspect = True
        elif failed:
            self._size = max(1, min(self._size, len(failed)) // 2)
            self._is_careful = True

    def _wait(self, entry: _Symbol, now: float) -> None:
        entry.phase = Phase.WAITING
        if entry.missing_since is None:
            entry.missing_since = now
