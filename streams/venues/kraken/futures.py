"""Kraken futures over WebSocket v1, feed ``trade``: the feed that labels liquidations."""

import msgspec
from websockets.asyncio.client import ClientConnection

from streams.venues.socket_feed import SocketFeed


class FuturesFeed(SocketFeed):
    """Trades of futures products. Rows of a snapshot can be hours old, so they are always history."""

    def _greetings(self) -> list[str]:
        return ['{"event":"subscribe","feed":"heartbeat"}']

    def _subscribe_request(self, symbols: list[str]) -> str:
        return _request("subscribe", symbols)

    def _unsubscribe_request(self, symbols: list[str]) -> str:
        return _request("unsubscribe", symbols)

    async def _ping(self, socket: ClientConnection) -> None:
        await socket.ping()


def _request(event: str, symbols: list[str]) -> str:
    return msgspec.json.encode({"event": event, "feed": "trade", "product_ids": symbols}).decode()
