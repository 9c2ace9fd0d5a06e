"""Acme's socket server: JSON of its own, a beat a second, trades to whoever listens to their pair."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.oracle import OracleTrade

HOST = "127.0.0.1"
BEAT_SECONDS = 1.0


class AcmeServer:
    """Serves every pair. ``listening`` holds the pairs that somebody listens to."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[ServerConnection]] = defaultdict(set)
        self._server = serve(self._handle, HOST, 0)
        self.url = f"ws://{HOST}:{self._server.socket.getsockname()[1]}"

    @property
    def listening(self) -> set[str]:
        return {pair for pair, connections in self._listeners.items() if connections}

    def say(self, text: str) -> None:
        """Send exactly this to everybody, once each."""
        for connection in set().union(*self._listeners.values()):
            connection.send(text)

    def publish(self, trades: Iterable[OracleTrade]) -> None:
        """Send each pair's trades as one message."""
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for trade in trades:
            rows[trade.symbol].append(row_of(trade))
        for pair, burst in rows.items():
            for connection in self._listeners[pair]:
                connection.send(json.dumps({"t": burst}))

    def _handle(self, connection: ServerConnection) -> None:
        try:
            while True:
                try:
                    request = json.loads(connection.recv(timeout=BEAT_SECONDS))
                except TimeoutError:
                    connection.send(json.dumps({"beat": True}))
                    continue
                if request["do"] == "listen":
                    for pair in request["pairs"]:
                        self._listeners[pair].add(connection)
                    connection.send(json.dumps({"listening": request["pairs"]}))
        except ConnectionClosed:
            for connections in self._listeners.values():
                connections.discard(connection)

    @contextmanager
    def running(self) -> Iterator["AcmeServer"]:
        """Serve in the block."""
        thread = threading.Thread(target=self._server.serve_forever, name="acme")
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()


def row_of(trade: OracleTrade) -> dict[str, Any]:
    """Return a trade as Acme writes it; perpetuals count contracts of a hundredth of a coin."""
    is_pair = isinstance(trade.id, int)
    return {
        "pair": trade.symbol,
        "n": str(trade.id) if isinstance(trade.id, int) else UUID(trade.id).hex,
        "at": trade.time_us,
        "px": str(trade.price),
        "sz": str(trade.qty if is_pair else trade.qty * Decimal(100)),
        "taker": "B" if trade.side == "buy" else "S",
        "liq": trade.kind == "liquidation",
    }
