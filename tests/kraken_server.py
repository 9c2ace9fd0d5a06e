"""The simulator's server with a script of failures: a Kraken that does what a test says."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from streams.model.trade import Trade
from streams.venues.simulator import messages
from streams.venues.simulator.server import KrakenServer
from streams.venues.simulator.session import FuturesSession, Session, SpotSession


@dataclass(slots=True)
class Faults:
    """What goes wrong, changed at any time by whoever holds the server.

    ``refused`` symbols are answered with an error; ``unanswered`` ones are neither acknowledged nor delivered;
    ``muted`` ones are acknowledged and never deliver (a snapshot neither). ``is_silent`` sends nothing at all on
    open sockets; ``refuse_connections`` answers 503. ``ack_delay_seconds`` delays every answer;
    ``fails_whole_request`` makes a futures request with one refused product fail as a whole, unnamed.
    ``busy`` answers each subscription by this error, which names no symbol; ``busy_symbols`` are answered by an error
    of their own, by name. ``requests_per_second`` answers "Exceeded msg rate" to more requests than that in a second.
    ``alerts_products`` refuses a futures product by an alert that names it. ``warnings`` stand in acknowledgements.
    ``duplicates`` sends each trade message twice; ``reorders`` sends the rows of a message backwards.
    """

    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    is_silent: bool = False
    refuse_connections: bool = False
    ack_delay_seconds: float = 0.0
    fails_whole_request: bool = False
    busy: str = ""
    busy_symbols: dict[str, str] = field(default_factory=dict)
    requests_per_second: int = 0
    alerts_products: bool = False
    warnings: list[str] = field(default_factory=list)
    duplicates: bool = False
    reorders: bool = False


class ScriptedKraken(KrakenServer):
    """Knows every symbol and fails as ``faults`` say.

    ``requests`` keeps the last requests as decoded JSON, ``connections`` counts sockets accepted since the server was
    made, ``system`` is the exchange's state.
    """

    def __init__(self, *, heartbeat_seconds: float = 1.0) -> None:
        super().__init__((), heartbeat_seconds=heartbeat_seconds)
        self.faults = Faults()
        self.system = "online"
        self.connections = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._requested: deque[float] = deque(maxlen=10_000)

    @property
    def open_connections(self) -> int:
        """How many sockets are open now."""
        return len(self._sessions)

    def subscribers(self, kind: type[Session], symbols: Sequence[str]) -> int:
        """Return how many sockets of a kind are subscribed to all of these."""
        return sum(session.symbols.issuperset(symbols) for session in self._of_kind(kind))

    async def send_raw_spot(self, text: str | bytes) -> None:
        """Send exactly this to every spot socket; bytes go as they are, in a text frame."""
        await self._broadcast(SpotSession, text)

    async def send_raw_futures(self, text: str | bytes) -> None:
        """Send exactly this to every futures socket; bytes go as they are, in a text frame."""
        await self._broadcast(FuturesSession, text)

    async def set_status(self, system: str) -> None:
        """Change the exchange's state (``online``, ``maintenance``, …) and tell every spot socket."""
        self.system = system
        await self._broadcast(SpotSession, messages.spot_status(system))

    async def _broadcast(self, kind: type[Session], text: str | bytes) -> None:
        for session in self._of_kind(kind):
            session.post(text)
        await asyncio.sleep(0)

    def knows(self, symbol: str, *, is_spot: bool) -> bool:  # noqa: ARG002 - the server's signature
        """Whatever is not refused, of either kind."""
        return symbol not in self.faults.refused

    def _session(self, connection: ServerConnection, *, is_spot: bool) -> Session:
        self.connections += 1
        return _ScriptedSpot(self, connection) if is_spot else _ScriptedFutures(self, connection)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.faults.refuse_connections:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "refused\n")
        return super()._admit(connection, request)

    async def _answer(self, session: Session, request: dict[str, Any]) -> None:
        self.requests.append(request)
        if self.faults.ack_delay_seconds:
            await asyncio.sleep(self.faults.ack_delay_seconds)
        if error := self._too_busy(request):
            session.post(_refusal(session, error))
            return
        await super()._answer(session, request)

    def _too_busy(self, request: dict[str, Any]) -> str:
        """Return the error by which the whole request is refused, without a symbol."""
        now = time.monotonic()
        self._requested.append(now)
        recent = sum(now - at < 1 for at in self._requested)
        if self.faults.requests_per_second and recent > self.faults.requests_per_second:
            return "Exceeded msg rate"
        is_subscription = "subscribe" in (request.get("method"), request.get("event"))
        return self.faults.busy if is_subscription and request.get("feed") != "heartbeat" else ""

    def _send_spot(self, trades: Sequence[Trade]) -> None:
        super()._send_spot(trades[::-1] if self.faults.reorders else trades)

    def _send_futures(self, rows: Sequence[dict[str, Any]]) -> None:
        super()._send_futures(rows[::-1] if self.faults.reorders else rows)

    def _delivers(self, session: Session, symbol: str) -> bool:
        return symbol not in self.faults.muted and super()._delivers(session, symbol)

    def _deliver(self, session: Session, text: str) -> None:
        super()._deliver(session, text)
        if self.faults.duplicates:
            super()._deliver(session, text)


def _refusal(session: Session, error: str) -> str:
    if isinstance(session, SpotSession):
        return messages.to_text({"error": error, "method": "subscribe", "success": False})
    return messages.futures_event("error", message=error)


class _ScriptedSpot(SpotSession):
    def __init__(self, server: ScriptedKraken, connection: ServerConnection) -> None:
        super().__init__(server, connection)
        self._script = server

    def welcome(self) -> None:
        self.post(messages.spot_status(self._script.system))

    async def _transmit(self, message: str | bytes) -> None:
        if not self._script.faults.is_silent:
            await super()._transmit(message)

    def _subscribe(self, symbol: str, request: dict[str, Any], *, has_snapshot: bool) -> None:
        faults = self._script.faults
        if error := faults.busy_symbols.get(symbol):
            self.post(messages.spot_ack(symbol, request, error=error))
        elif symbol not in faults.unanswered:
            super()._subscribe(symbol, request, has_snapshot=has_snapshot)

    def post(self, message: str | bytes) -> None:
        warnings = self._script.faults.warnings
        if warnings and isinstance(message, str) and '"result"' in message:
            answer = msgspec.json.decode(message)
            answer["result"]["warnings"] = warnings
            message = messages.to_text(answer)
        super().post(message)

    def _post_snapshot(self, symbol: str) -> None:
        if symbol not in self._script.faults.muted:
            super()._post_snapshot(symbol)


class _ScriptedFutures(FuturesSession):
    def __init__(self, server: ScriptedKraken, connection: ServerConnection) -> None:
        super().__init__(server, connection)
        self._script = server

    async def _transmit(self, message: str | bytes) -> None:
        if not self._script.faults.is_silent:
            await super()._transmit(message)

    def _subscribe(self, products: list[str]) -> None:
        faults = self._script.faults
        if faults.alerts_products:
            for product in [product for product in products if not self._script.knows(product, is_spot=False)]:
                text = f"Couldn't subscribe to invalid product `{product}`"
                self.post(messages.futures_event("alert", message=text))
                products = [one for one in products if one != product]
        if faults.fails_whole_request and not all(self._script.knows(product, is_spot=False) for product in products):
            self._refuse()
        else:
            super()._subscribe([product for product in products if product not in faults.unanswered])

    def _post_snapshot(self, product: str) -> None:
        if product not in self._script.faults.muted:
            super()._post_snapshot(product)
