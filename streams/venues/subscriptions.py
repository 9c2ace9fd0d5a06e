"""Which symbols are asked for, acknowledged, refused or silent on one socket. Pure: the caller reads the clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.venues.parsed import Ack

# Kraken also refuses symbols during an outage, so a refused one is asked for again after ten minutes.
REFUSED_RETRY_SECONDS: Final = 600.0
# A market that is merely quiet is asked for less and less often: with the default of 300 s, at last every 80 minutes.
MOST_STALE_FACTOR: Final = 16


class Phase(Enum):
    """Where a symbol's subscription stands."""

    WAITING = "waiting"
    ASKED = "asked"
    ACTIVE = "active"
    REFUSED = "refused"


@dataclass(slots=True)
class _Symbol:
    phase: Phase = Phase.WAITING
    since: float = 0.0
    # A suspect is asked for alone. An answer that names no symbol can then only mean this one.
    is_suspect: bool = False
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

    def __init__(self, symbols: Iterable[str], *, chunk: int, ack_timeout_seconds: float, stale_seconds: float) -> None:
        self._symbols = {symbol: _Symbol() for symbol in symbols}
        self._chunk = chunk
        self._ack_timeout_seconds = ack_timeout_seconds
        self._stale_seconds = stale_seconds

    def phase(self, symbol: str) -> Phase:
        """Return where the symbol stands. Raises :class:`KeyError` for one that was never wanted."""
        return self._symbols[symbol].phase

    @property
    def has_suspects(self) -> bool:
        """Whether a symbol waits to be asked for alone."""
        return any(entry.is_suspect for entry in self._symbols.values())

    def in_phase(self, phase: Phase) -> list[str]:
        """Return the symbols that stand there, in the order of the settings."""
        return [symbol for symbol, entry in self._symbols.items() if entry.phase is phase]

    def connected(self) -> None:
        """Begin on a new socket: every symbol is asked for again, and each refused one by itself."""
        for entry in self._symbols.values():
            entry.is_suspect = entry.phase is Phase.REFUSED
            entry.phase = Phase.WAITING

    def answered(self, ack: Ack, now: float) -> list[str]:
        """Take an answer. Return the symbols that are refused for the first time, which are then reported by name."""
        if ack.symbol:
            return self._settle(ack.symbol, now, accepted=ack.accepted)
        asked = self.in_phase(Phase.ASKED)
        if not ack.accepted and len(asked) == 1:
            return self._settle(asked[0], now, accepted=False)
        if not ack.accepted:
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
            entry.phase = Phase.ACTIVE
            entry.since = now

    def forgive(self, seconds: float) -> None:
        """Do not count these seconds as silence: nobody read the socket."""
        for entry in self._symbols.values():
            entry.since += seconds

    def due(self, now: float, *, is_online: bool) -> Requests:
        """Return the requests to send now and mark their symbols as asked for.

        While the exchange is not online, no symbol counts as silent.
        """
        unanswered, stale, newly_stale = [], [], []
        for symbol, entry in self._symbols.items():
            age = now - entry.since
            if entry.phase is Phase.ACTIVE and not is_online:
                entry.since = now
            elif entry.phase is Phase.ACTIVE and age >= self._stale_seconds * entry.stale_factor:
                stale.append(symbol)
                if not entry.reported:
                    newly_stale.append(symbol)
                entry.stale_factor = min(entry.stale_factor * 2, MOST_STALE_FACTOR)
                entry.reported = True
                entry.phase = Phase.WAITING
            elif entry.phase is Phase.ASKED and age >= self._ack_timeout_seconds:
                if not entry.reported:
                    unanswered.append(symbol)
                entry.reported = True
                entry.phase = Phase.WAITING
            elif entry.phase is Phase.REFUSED and age >= REFUSED_RETRY_SECONDS:
                entry.is_suspect = True
                entry.phase = Phase.WAITING
        return Requests(self._take(now), stale, unanswered, newly_stale)

    def _take(self, now: float) -> list[list[str]]:
        waiting = self.in_phase(Phase.WAITING)
        plain = [symbol for symbol in waiting if not self._symbols[symbol].is_suspect]
        groups = [plain[i : i + self._chunk] for i in range(0, len(plain), self._chunk)]
        suspects = [symbol for symbol in waiting if self._symbols[symbol].is_suspect]
        if not groups and suspects and not self.in_phase(Phase.ASKED):
            groups = [[min(suspects, key=lambda symbol: self._symbols[symbol].since)]]
        for group in groups:
            for symbol in group:
                entry = self._symbols[symbol]
                entry.phase, entry.since = Phase.ASKED, now
        return groups

    def _settle(self, symbol: str, now: float, *, accepted: bool) -> list[str]:
        entry = self._symbols.get(symbol)
        if entry is None:
            return []
        entry.phase = Phase.ACTIVE if accepted else Phase.REFUSED
        entry.since = now
        entry.is_suspect = False
        if accepted:
            return []
        first, entry.reported = not entry.reported, True
        return [symbol] if first else []
