"""Kraken as two venues, spot and futures: each has its own ids, protocol and rows."""

from collections.abc import Iterable, Sequence

from streams.model.products import Product
from streams.model.trade import Trade
from streams.settings import Settings
from streams.venues.base import Feed, PlainFields, PlainMessage, Venue
from streams.venues.kraken.futures import FuturesFeed
from streams.venues.kraken.parsing import parse_futures_message, parse_spot_message
from streams.venues.kraken.products import futures_products, spot_products
from streams.venues.kraken.spot import SpotFeed
from streams.venues.kraken.trade_rows import futures_row_to_trade, spot_row_to_trade
from streams.venues.parsed import Parsed
from streams.venues.socket_timing import SocketTiming


class KrakenSpot(Venue):
    """Pairs against dollars; integer ids, consecutive in each market."""

    row_fields = ("symbol", "trade_id", "timestamp")
    plain_fields = PlainFields("symbol", "side", "price", "qty", "trade_id", "timestamp")
    plain_message = PlainMessage((("channel", "trade"), ("type", "update")), "data")
    message_fields = ("channel", "method", "error")
    numbers_trades = True
    symbols_setting = "SPOT_SYMBOLS"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.spot_venue)
        self._settings = settings
        self._product_of = spot_products(settings.usd_quotes)

    def product_of(self, symbol: str) -> Product:
        """Return what trades of a pair are. Raises :class:`BadRecord` unless it is quoted in a dollar."""
        return self._product_of(symbol)

    def feed(self) -> Feed | None:
        """Return the feed of SPOT_SYMBOLS. Raises :class:`BadSetting` for an address that is no socket's."""
        settings = self._settings
        if not settings.spot_symbols:
            return None
        return SpotFeed(
            settings.spot_ws_url,
            self,
            settings.spot_symbols,
            symbols_per_subscribe=settings.symbols_per_subscribe,
            timing=SocketTiming.of(settings),
        )

    def symbols(self) -> Sequence[str]:
        """Return SPOT_SYMBOLS."""
        return self._settings.spot_symbols

    def addresses(self) -> Sequence[str]:
        """Return the address of its socket where symbols are asked for."""
        return [self._settings.spot_ws_url] if self._settings.spot_symbols else []

    def read_message(self, data: bytes) -> Parsed:
        """Return what a message of WebSocket v2 holds. What cannot be used comes back as rejects."""
        return parse_spot_message(data, self)

    def read_row(self, row: bytes) -> Trade:
        """Return the trade of a row of WebSocket v2. Raises :class:`BadRecord`."""
        return spot_row_to_trade(row, self)


class KrakenFutures(Venue):
    """Linear and inverse futures, whose trades are labelled; ids are UUIDs."""

    row_fields = ("product_id", "uid", "type", "time")
    message_fields = ("feed", "event")
    symbols_setting = "FUTURES_SYMBOLS"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.futures_venue)
        self._settings = settings
        self._product_of = futures_products(settings.usd_quotes)

    def product_of(self, symbol: str) -> Product:
        """Return what trades of a product are. Raises :class:`BadRecord` where its notional is not known."""
        return self._product_of(symbol)

    def feed(self) -> Feed | None:
        """Return the feed of FUTURES_SYMBOLS. Raises :class:`BadSetting` where none of them is a known product."""
        settings = self._settings
        if not settings.futures_symbols:
            return None
        return FuturesFeed(
            settings.futures_ws_url,
            self,
            settings.futures_symbols,
            symbols_per_subscribe=settings.symbols_per_subscribe,
            timing=SocketTiming.of(settings),
        )

    def symbols(self) -> Sequence[str]:
        """Return FUTURES_SYMBOLS."""
        return self._settings.futures_symbols

    def addresses(self) -> Sequence[str]:
        """Return the address of its socket where symbols are asked for."""
        return [self._settings.futures_ws_url] if self._settings.futures_symbols else []

    def read_message(self, data: bytes) -> Parsed:
        """Return what a message of WebSocket v1 holds. What cannot be used comes back as rejects."""
        return parse_futures_message(data, self)

    def read_row(self, row: bytes) -> Trade:
        """Return the trade of a row of WebSocket v1. Raises :class:`BadRecord`."""
        return futures_row_to_trade(row, self)


def venues(settings: Settings) -> Iterable[Venue]:
    """Return Kraken's venues, under the names that the settings give them."""
    return KrakenSpot(settings), KrakenFutures(settings)
