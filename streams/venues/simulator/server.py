"""A local server that speaks both of Kraken's protocols, on one port: ``/v2`` for spot, ``/ws/v1`` for futures.

With an exchange it is the one of the demonstration; without one it is a stand-in that tests script into failures.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from streams.model.trade import SPOT, Trade
from streams.venues.simulator import messages
from streams.venues.simulator.exchange import SimulatedExchange
from streams.venues.simulator.session import FuturesSession, Session, SpotSession

log = logging.getLogger(__name__)

SPOT_PATH: Final = "/v2"
FUTURES_PATH: Final = "/ws/v1"
SPOT_SNAPSHOT: Final = 50
FUTURES_SNAPSHOT: Final = 100
STEP_SECONDS: Final = 0.05


@dataclass(slots=True)
class Faults:
    """What goes wrong, changed at any time by whoever holds the server.

    ``refused`` symbols are answered with an error; ``unanswered`` ones are neither acknowledged nor delivered;
    ``muted`` ones are acknowledged and never deliver (a snapshot neither). ``is_silent`` sends nothing at all on
    open sockets; ``refuse_connections`` answers 503. ``ack_delay_seconds`` delays every answer;
    ``fails_whole_request`` makes a futures request with one refused product fail as a whole, unnamed.
    ``duplicates`` sends each trade message twice; ``reorders`` sends the rows of a message backwards.
    """

    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    is_silent: bool = False
    refuse_connections: bool = False
    ack_delay_seconds: float = 0.0
    fails_whole_request: bool = False
    duplicates: bool = False
    reorders: bool = False


class KrakenServer:
    """The stand-in for Kraken.

    With an ``exchange`` it knows the symbols of that exchange and trades them by the wall clock from :meth:`start` on;
    without one it knows every symbol and sends what :meth:`publish_spot` and :meth:`publish_futures` are given.
    ``requests`` keeps the last requests as decoded JSON, ``connections`` counts sockets accepted since the
    server was made, ``faults`` is the script.
    """

    def __init__(
        self,
        exchange: SimulatedExchange | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        heartbeat_seconds: float = 1.0,
    ) -> None:
        self.exchange = exchange
        self.faults = Faults()
        self.system = "online"
        self.connections = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=10_000)
        self.heartbeat_seconds = heartbeat_seconds
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._trading: asyncio.Task[None] | None = None
        self._sessions: set[Session] = set()
        self._spot_history: dict[str, deque[Trade]] = defaultdict(lambda: deque(maxlen=SPOT_SNAPSHOT))
        self._futures_history: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=FUTURES_SNAPSHOT))
        self._seqs: dict[str, int] = defaultdict(int)
        self._known = {(item.venue == SPOT, item.symbol) for item in exchange.instruments} if exchange else None

    @property
    def spot_url(self) -> str:
        """The address of the spot protocol, once started."""
        return f"ws://{self._host}:{self._port}{SPOT_PATH}"

    @property
    def futures_url(self) -> str:
        """The address of the futures protocol, once started."""
        return f"ws://{self._host}:{self._port}{FUTURES_PATH}"

    @property
    def open_connections(self) -> int:
        """How many sockets are open now."""
        return len(self._sessions)

    async def start(self) -> None:
        """Listen, and begin to trade. A stopped server starts again on the same port. Raises :class:`OSError`."""
        self._server = await serve(
            self._handle,
            self._host,
            self._port,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        if self.exchange is not None:
            self._trading = asyncio.create_task(self._trade(self.exchange))

    async def stop(self) -> None:
        """Stop trading, drop every connection and stop listening."""
        if self._trading is not None:
            self._trading.cancel()
            with suppress(asyncio.CancelledError):
                await self._trading
            self._trading = None
        if self._server is not None:
            self.drop_connections()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def drop_connections(self) -> None:
        """Abort every TCP connection, without a closing handshake."""
        for session in list(self._sessions):
            session.abort()

    async def publish_spot(self, trades: Sequence[Trade]) -> None:
        """Send these trades as one message to whoever subscribed to their symbols, and keep them for snapshots."""
        for trade in trades:
            self._spot_history[trade.symbol].append(trade)
        for session in self._of_kind(SpotSession):
            wanted = [trade for trade in trades if self._delivers(session, trade.symbol)]
            if wanted:
                ordered = reversed(wanted) if self.faults.reorders else wanted
                self._deliver(session, messages.spot_trades(ordered))
        await asyncio.sleep(0)

    async def publish_futures(self, trades: Sequence[Trade]) -> None:
        """Send each trade as a message to whoever subscribed to its product, and keep them for snapshots."""
        rows = []
        for trade in trades:
            self._seqs[trade.symbol] += 1
            row = messages.futures_row(trade, self._seqs[trade.symbol])
            self._futures_history[trade.symbol].append(row)
            rows.append(row)
        for row in reversed(rows) if self.faults.reorders else rows:
            text = messages.to_text(row)
            for session in self._of_kind(FuturesSession):
                if self._delivers(session, row["product_id"]):
                    self._deliver(session, text)
        await asyncio.sleep(0)

    async def send_raw_spot(self, text: str | bytes) -> None:
        """Send exactly this to every spot socket; bytes go as they are, in a text frame."""
        self._broadcast(SpotSession, text)
        await asyncio.sleep(0)

    async def send_raw_futures(self, text: str | bytes) -> None:
        """Send exactly this to every futures socket; bytes go as they are, in a text frame."""
        self._broadcast(FuturesSession, text)
        await asyncio.sleep(0)

    async def set_status(self, system: str) -> None:
        """Change the exchange's state (``online``, ``maintenance``, …) and tell every spot socket."""
        self.system = system
        self._broadcast(SpotSession, messages.spot_status(system))
        await asyncio.sleep(0)

    def knows(self, symbol: str, *, is_spot: bool) -> bool:
        """Return whether the symbol can be subscribed to."""
        return symbol not in self.faults.refused and (self._known is None or (is_spot, symbol) in self._known)

    def spot_snapshot(self, symbol: str) -> list[Trade]:
        """Return the last 50 trades of a market, oldest first."""
        return list(self._spot_history[symbol])

    def futures_snapshot(self, product_id: str) -> list[dict[str, Any]]:
        """Return the last 100 rows of a product, newest first."""
        return list(reversed(self._futures_history[product_id]))

    def _of_kind(self, kind: type[Session]) -> list[Session]:
        return [session for session in self._sessions if isinstance(session, kind)]

    def _delivers(self, session: Session, symbol: str) -> bool:
        return symbol in session.symbols and symbol not in self.faults.muted

    def _deliver(self, session: Session, text: str) -> None:
        session.post(text)
        if self.faults.duplicates:
            session.post(text)

    def _broadcast(self, kind: type[Session], text: str | bytes) -> None:
        for session in self._of_kind(kind):
            session.post(text)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.faults.refuse_connections:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "refused\n")
        if request.path not in (SPOT_PATH, FUTURES_PATH):
            return connection.respond(HTTPStatus.NOT_FOUND, f"use {SPOT_PATH} or {FUTURES_PATH}\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        is_spot = connection.request is not None and connection.request.path == SPOT_PATH
        session: Session = (SpotSession if is_spot else FuturesSession)(self, connection)
        self.connections += 1
        self._sessions.add(session)
        sending = asyncio.create_task(session.send())
        try:
            session.welcome()
            async for data in connection:
                await self._take_request(session, data)
        except ConnectionClosed:
            pass
        finally:
            self._sessions.discard(session)
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _take_request(self, session: Session, data: str | bytes) -> None:
        try:
            request = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError:
            session.malformed()
            return
        self.requests.append(request)
        if self.faults.ack_delay_seconds:
            await asyncio.sleep(self.faults.ack_delay_seconds)
        session.answer(request)

    async def _trade(self, exchange: SimulatedExchange) -> None:
        known = 0
        while True:
            now_us = time.time_ns() // 1000
            await self._publish_step(exchange.step(now_us))
            for cascade in exchange.cascades[known:]:
                log.info("cascade on %s: %s are being liquidated", cascade.symbol, cascade.victims)
            known = len(exchange.cascades)
            await asyncio.sleep(STEP_SECONDS)

    async def _publish_step(self, trades: Iterable[Trade]) -> None:
        spot: dict[str, list[Trade]] = defaultdict(list)
        futures: list[Trade] = []
        for trade in trades:
            if trade.venue == SPOT:
                spot[trade.symbol].append(trade)
            else:
                futures.append(trade)
        for rows in spot.values():
            await self.publish_spot(rows)
        await self.publish_futures(futures)
