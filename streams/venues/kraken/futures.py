"""Kraken futures over WebSocket v1, feed ``trade``: the feed that labels liquidations."""

import time

import msgspec
from websockets.asyncio.client import ClientConnection

from streams.metrics import KINDS_APART
from streams.model.trade import Trade
from streams.venues.parsed import Parsed
from streams.venues.socket_feed import SocketFeed


class FuturesFeed(SocketFeed):
    """Trades of futures products. Rows of a snapshot can be hours old, so they are always history."""

    def _greetings(self) -> list[str]:
        return ['{"event":"subscribe","feed":"heartbeat"}']

    def _subscribe_request(self, symbols: list[str]) -> str:
        return _request("subscribe", symbols)

    def _unsubscribe_request(self, symbols: list[str]) -> str:
        return _request("unsubscribe", symbols)

    def _absorb(self, parsed: Parsed) -> list[Trade]:
        for trade in parsed.trades:
            if trade.word and trade.word not in KINDS_APART:
                self.report.unknown_kind(trade.word, time.monotonic())
        return parsed.trades

    async def _ping(self, socket: ClientConnection) -> None:
        await socket.ping()


def _request(event: str, symbols: list[str]) -> str:
    return msgspec.json.encode({"event": event, "feed": "trade", "product_ids": symbols}).decode()
