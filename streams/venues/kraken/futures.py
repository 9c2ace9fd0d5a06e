"""Kraken futures over WebSocket v1, feed ``trade``: the feed that labels liquidations."""

import logging
from collections.abc import Sequence

import msgspec
from websockets.asyncio.client import ClientConnection

from streams.errors import BadRecord, BadSetting
from streams.settings import Settings
from streams.venues.kraken.parsing import parse_futures_message
from streams.venues.kraken.products import FUTURES, FUTURES_PREFIXES, USD_QUOTES, futures_product
from streams.venues.parsed import Parsed
from streams.venues.socket_feed import SocketFeed, SocketTiming

log = logging.getLogger(__name__)


class FuturesSource(SocketFeed):
    """Trades of futures products. Rows of a snapshot are always history: they can be hours old.

    A product whose notional in USD is not known is refused here by name, and the others go on. Raises
    :class:`BadSetting` where none is left.
    """

    def __init__(
        self,
        url: str,
        symbols: Sequence[str],
        *,
        venue: str = FUTURES,
        usd_quotes: tuple[str, ...] = USD_QUOTES,
        symbols_per_subscribe: int = 50,
        timing: SocketTiming | None = None,
    ) -> None:
        self._usd_quotes = usd_quotes
        supported = [symbol for symbol in symbols if self._is_supported(symbol, venue)]
        if symbols and not supported:
            raise BadSetting(f"FUTURES_SYMBOLS must hold at least one product of {', '.join(FUTURES_PREFIXES)}")
        timing = timing or SocketTiming()
        super().__init__(url, venue, supported, symbols_per_subscribe=symbols_per_subscribe, timing=timing)

    @classmethod
    def of(cls, settings: Settings) -> "FuturesSource":
        """Return the source that the settings ask for."""
        return cls(
            settings.futures_ws_url,
            settings.futures_symbols,
            venue=settings.futures_venue,
            usd_quotes=settings.usd_quotes,
            symbols_per_subscribe=settings.symbols_per_subscribe,
            timing=SocketTiming.of(settings),
        )

    def _is_supported(self, symbol: str, venue: str) -> bool:
        try:
            futures_product(symbol, self._usd_quotes)
        except BadRecord as error:
            log.warning("%s: not subscribing: %s", venue, error.detail)
            return False
        return True

    def _greetings(self) -> list[str]:
        return ['{"event":"subscribe","feed":"heartbeat"}']

    def _subscribe_request(self, symbols: list[str]) -> str:
        return _request("subscribe", symbols)

    def _unsubscribe_request(self, symbols: list[str]) -> str:
        return _request("unsubscribe", symbols)

    async def _ping(self, socket: ClientConnection) -> None:
        await socket.ping()

    def _parse(self, data: bytes) -> Parsed:
        return parse_futures_message(data, self.venue, usd_quotes=self._usd_quotes)


def _request(event: str, symbols: list[str]) -> str:
    return msgspec.json.encode({"event": event, "feed": "trade", "product_ids": symbols}).decode()
