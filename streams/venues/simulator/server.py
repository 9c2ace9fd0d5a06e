"""A local server that speaks both of Kraken's protocols, on one port: ``/v2`` for spot, ``/ws/v1`` for futures."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from streams.model.kinds import SPOT_KIND
from streams.model.trade import Trade
from streams.venues.simulator import messages
from streams.venues.simulator.instruments import Instrument
from streams.venues.simulator.session import FuturesSession, Session, SpotSession

SPOT_PATH: Final = "/v2"
FUTURES_PATH: Final = "/ws/v1"
# Kraken sends the last 50 trades of a spot market on subscribing to it.
SPOT_SNAPSHOT: Final = 50
# Of a futures product it sends the last 100.
FUTURES_SNAPSHOT: Final = 100


class KrakenServer:
    """The stand-in for Kraken: takes subscriptions to some instruments, and sends the trades that it is given."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        heartbeat_seconds: float = 1.0,
    ) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._sessions: set[Session] = set()
        self._spot_history: dict[str, deque[Trade]] = defaultdict(lambda: deque(maxlen=SPOT_SNAPSHOT))
        self._futures_history: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=FUTURES_SNAPSHOT))
        self._seqs: dict[str, int] = defaultdict(int)
        self._known = {(item.product.kind == SPOT_KIND, item.symbol) for item in instruments}

    @property
    def spot_url(self) -> str:
        """The address of the spot protocol, once started."""
        return f"ws://{self._host}:{self._port}{SPOT_PATH}"

    @property
    def futures_url(self) -> str:
        """The address of the futures protocol, once started."""
        return f"ws://{self._host}:{self._port}{FUTURES_PATH}"

    async def start(self) -> None:
        """Listen. A stopped server starts again on the same port. Raises :class:`OSError`."""
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

    async def stop(self) -> None:
        """Drop every connection and stop listening."""
        if self._server is not None:
            self.drop_connections()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def drop_connections(self) -> None:
        """Abort every TCP connection, without a closing handshake."""
        for session in list(self._sessions):
            session.abort()

    async def publish(self, trades: Iterable[Trade]) -> None:
        """Send trades of both kinds of market: a message per spot symbol, then one per futures trade."""
        spot: dict[str, list[Trade]] = defaultdict(list)
        futures: list[Trade] = []
        for trade in trades:
            if trade.product.kind == SPOT_KIND:
                spot[trade.symbol].append(trade)
            else:
                futures.append(trade)
        for rows in spot.values():
            await self.publish_spot(rows)
        await self.publish_futures(futures)

    async def publish_spot(self, trades: Sequence[Trade]) -> None:
        """Send these trades as one message to whoever subscribed to their symbols, and keep them for snapshots."""
        for trade in trades:
            self._spot_history[trade.symbol].append(trade)
        self._send_spot(trades)
        await asyncio.sleep(0)

    async def publish_futures(self, trades: Sequence[Trade]) -> None:
        """Send each trade as a message to whoever subscribed to its product, and keep them for snapshots."""
        rows = []
        for trade in trades:
            self._seqs[trade.symbol] += 1
            row = messages.futures_row(trade, self._seqs[trade.symbol])
            self._futures_history[trade.symbol].append(row)
            rows.append(row)
        self._send_futures(rows)
        await asyncio.sleep(0)

    def _send_spot(self, trades: Sequence[Trade]) -> None:
        for session in self._of_kind(SpotSession):
            wanted = [trade for trade in trades if self._delivers(session, trade.symbol)]
            if wanted:
                self._deliver(session, messages.spot_trades(wanted))

    def _send_futures(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            text = messages.to_text(row)
            for session in self._of_kind(FuturesSession):
                if self._delivers(session, row["product_id"]):
                    self._deliver(session, text)

    def knows(self, symbol: str, *, is_spot: bool) -> bool:
        """Return whether the symbol can be subscribed to."""
        return (is_spot, symbol) in self._known

    def spot_snapshot(self, symbol: str) -> list[Trade]:
        """Return the last 50 trades of a market, oldest first."""
        return list(self._spot_history[symbol])

    def futures_snapshot(self, product_id: str) -> list[dict[str, Any]]:
        """Return the last 100 rows of a product, newest first."""
        return list(reversed(self._futures_history[product_id]))

    def _of_kind(self, kind: type[Session]) -> list[Session]:
        return [session for session in self._sessions if isinstance(session, kind)]

    def _delivers(self, session: Session, symbol: str) -> bool:
        return symbol in session.symbols

    def _deliver(self, session: Session, text: str) -> None:
        session.post(text)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path not in (SPOT_PATH, FUTURES_PATH):
            return connection.respond(HTTPStatus.NOT_FOUND, f"use {SPOT_PATH} or {FUTURES_PATH}\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        is_spot = connection.request is not None and connection.request.path == SPOT_PATH
        session = self._session(connection, is_spot=is_spot)
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

    def _session(self, connection: ServerConnection, *, is_spot: bool) -> Session:
        return SpotSession(self, connection) if is_spot else FuturesSession(self, connection)

    async def _take_request(self, session: Session, data: str | bytes) -> None:
        try:
            request = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError:
            session.malformed()
            return
        await self._answer(session, request)

    async def _answer(self, session: Session, request: dict[str, Any]) -> None:
        session.answer(request)
