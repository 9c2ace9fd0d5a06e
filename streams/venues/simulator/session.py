"""One client's socket on the simulator: what it subscribed to, how its requests are answered."""

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any, Final, Protocol

from websockets.asyncio.server import ServerConnection

from streams.model.trade import Trade
from streams.venues.simulator import messages

# A client that reads too slowly is cut off, as Kraken does. So many messages of 300 bytes are 15 MB.
MAX_WAITING: Final = 50_000


class MarketData(Protocol):
    """What a session asks of its server."""

    heartbeat_seconds: float

    def knows(self, symbol: str, *, is_spot: bool) -> bool:
        """Return whether the symbol can be subscribed to."""
        ...

    def spot_snapshot(self, symbol: str) -> list[Trade]:
        """Return a market's latest trades, oldest first."""
        ...

    def futures_snapshot(self, product_id: str) -> list[dict[str, Any]]:
        """Return a product's latest rows, newest first."""
        ...


class Session(ABC):
    """A connected client. ``symbols`` are the subscriptions that are delivered."""

    def __init__(self, server: MarketData, connection: ServerConnection) -> None:
        self.symbols: set[str] = set()
        self._server = server
        self._connection = connection
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue(MAX_WAITING)

    @abstractmethod
    def welcome(self) -> None:
        """Post what the venue sends on a new socket."""

    @abstractmethod
    def answer(self, request: dict[str, Any]) -> None:
        """Post the answers to a request."""

    @abstractmethod
    def malformed(self) -> None:
        """Post the answer to a request that is not JSON."""

    @abstractmethod
    def heartbeat(self) -> str:
        """Return what is sent while nothing else flows; empty for nothing."""

    def post(self, message: str | bytes) -> None:
        """Queue a message; a client that does not read is cut off."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.abort()

    def abort(self) -> None:
        """Cut the TCP connection."""
        self._connection.transport.abort()

    async def send(self) -> None:
        """Send what was posted, and heartbeats in between, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._server.heartbeat_seconds):
                    message: str | bytes = await self._waiting.get()
            except TimeoutError:
                message = self.heartbeat()
            if message:
                await self._transmit(message)

    async def _transmit(self, message: str | bytes) -> None:
        await self._connection.send(message, text=True)


class SpotSession(Session):
    """A client of WebSocket v2."""

    def welcome(self) -> None:
        """Post what the venue sends on a new socket."""
        self.post(messages.spot_status("online"))

    def heartbeat(self) -> str:
        """Return what is sent while nothing else flows; empty before the first subscription."""
        return messages.SPOT_HEARTBEAT if self.symbols else ""

    def malformed(self) -> None:
        """Post the answer to a request that is not JSON."""
        self.post(messages.to_text({"error": "Malformed request", "method": "error", "success": False}))

    def answer(self, request: dict[str, Any]) -> None:
        """Post the answers to a request: one per symbol."""
        method = request.get("method")
        params = request.get("params")
        if method == "ping":
            self.post(
                messages.to_text({"method": "pong", **({"req_id": request["req_id"]} if "req_id" in request else {})})
            )
        elif method in ("subscribe", "unsubscribe") and isinstance(params, dict) and params.get("channel") == "trade":
            for symbol in params.get("symbol") or []:
                if method == "subscribe":
                    self._subscribe(str(symbol), request, has_snapshot=bool(params.get("snapshot")))
                else:
                    self.symbols.discard(symbol)
                    self.post(messages.spot_ack(symbol, request))
        else:
            self.post(messages.to_text({"error": "Unsupported request", "method": str(method), "success": False}))

    def _subscribe(self, symbol: str, request: dict[str, Any], *, has_snapshot: bool) -> None:
        if not self._server.knows(symbol, is_spot=True):
            self.post(messages.spot_ack(symbol, request, error=f"Currency pair not supported {symbol}"))
            return
        if symbol in self.symbols:
            self.post(messages.spot_ack(symbol, request, error="Already subscribed"))
            return
        self.post(messages.spot_ack(symbol, request))
        self.symbols.add(symbol)
        if has_snapshot:
            self._post_snapshot(symbol)

    def _post_snapshot(self, symbol: str) -> None:
        rows = self._server.spot_snapshot(symbol)
        if rows:
            self.post(messages.spot_trades(rows, is_snapshot=True))


class FuturesSession(Session):
    """A client of futures WebSocket v1."""

    def __init__(self, server: MarketData, connection: ServerConnection) -> None:
        super().__init__(server, connection)
        self._has_heartbeat = False

    def welcome(self) -> None:
        """Post what the venue sends on a new socket."""
        self.post(messages.FUTURES_INFO)

    def heartbeat(self) -> str:
        """Return what is sent while nothing else flows; empty before the first subscription."""
        if not self._has_heartbeat:
            return ""
        return messages.to_text({"feed": "heartbeat", "time": time.time_ns() // 1_000_000})

    def malformed(self) -> None:
        """Post the answer to a request that is not JSON."""
        self.post(messages.futures_event("error", message="Json Error"))

    def answer(self, request: dict[str, Any]) -> None:
        """Post the answers to a request: one per symbol."""
        event, feed = request.get("event"), request.get("feed")
        if event in ("subscribe", "unsubscribe") and feed == "heartbeat":
            self._has_heartbeat = event == "subscribe"
            self.post(messages.futures_event(f"{event}d", feed="heartbeat"))
        elif event == "subscribe" and feed == "trade":
            self._subscribe([str(product) for product in request.get("product_ids") or []])
        elif event == "unsubscribe" and feed == "trade":
            products = [str(product) for product in request.get("product_ids") or []]
            self.symbols -= set(products)
            self.post(messages.futures_event("unsubscribed", feed="trade", product_ids=products))
        else:
            self.post(messages.futures_event("error", message="Invalid feed"))

    def _subscribe(self, products: list[str]) -> None:
        unknown = [product for product in products if not self._server.knows(product, is_spot=False)]
        for product in products:
            if product not in unknown:
                self.post(messages.futures_event("subscribed", feed="trade", product_ids=[product]))
                self.symbols.add(product)
                self._post_snapshot(product)
        for _ in unknown:
            self._refuse()

    def _post_snapshot(self, product: str) -> None:
        self.post(messages.futures_snapshot(product, self._server.futures_snapshot(product)))

    def _refuse(self) -> None:
        # The venue's error does not say which product it means.
        self.post(messages.futures_event("error", message="Invalid product id"))
