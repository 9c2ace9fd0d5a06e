"""What the program must be told of Acme, and all that it is told."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection

from streams.errors import BadRecord
from streams.model.kinds import SPOT_KIND, MarketKind
from streams.model.products import EXACT, Product, linear
from streams.model.trade import Kind, Side, Trade
from streams.settings import Settings, VenueSettings, read_settings
from streams.venues.base import Feed, Venue
from streams.venues.parsed import Ack, Parsed
from streams.venues.socket_feed import SocketFeed
from streams.venues.socket_timing import SocketTiming

NAME = "acme"


def hundredths(price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Return worth and base quantity of contracts of a hundredth of a coin."""
    return linear(price, EXACT.divide(quantity, Decimal(100)))


PAIR = Product(SPOT_KIND, linear)
PERPETUAL = Product(MarketKind("perpetual", has_liquidations=True, id_bytes=16), hundredths)


class AcmeSettings(VenueSettings):
    """Acme's own variables: ``ACME_URL`` and ``ACME_SYMBOLS``."""

    acme_url: str = ""
    acme_symbols: str = ""


def product_of(symbol: str) -> Product:
    """Return what a symbol is. Raises :class:`BadRecord` for one that Acme would not list."""
    if symbol.startswith("PF_"):
        return PAIR
    if symbol.endswith("-PERP"):
        return PERPETUAL
    raise BadRecord("unknown_quote", f"{symbol[:64]!r} is neither PF_… nor …-PERP")


def decoded(data: bytes) -> dict[str, Any]:
    """Return the object that a message or a row is. Raises :class:`BadRecord`."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None
    if not isinstance(found, dict):
        raise BadRecord("wrong_type", f"a message of Acme is an object, not {data[:40]!r}")
    return found


def read_row(venue: str, row: dict[str, Any]) -> Trade:
    """Return the trade of one row under this venue's name. Raises :class:`BadRecord`."""
    try:
        product = product_of(row["pair"])
        return Trade(
            venue=venue,
            symbol=row["pair"],
            trade_id=int(row["n"], 16) if product is PERPETUAL else int(row["n"]),
            side=Side.BUY if row["taker"] == "B" else Side.SELL,
            kind=Kind.LIQUIDATION if row.get("liq") else Kind.FILL,
            price=Decimal(row["px"]),
            quantity=Decimal(row["sz"]),
            time_us=row["at"],
            product=product,
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadRecord("wrong_type", f"no row of Acme: {error!r}") from None


class AcmeFeed(SocketFeed):
    """Trades of the socket, one message per burst."""

    def _greetings(self) -> list[str]:
        return [json.dumps({"do": "hello"})]

    def _subscribe_request(self, symbols: list[str]) -> str:
        return json.dumps({"do": "listen", "pairs": symbols})

    def _unsubscribe_request(self, symbols: list[str]) -> str:
        return json.dumps({"do": "leave", "pairs": symbols})

    async def _ping(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"do": "ping"}))


class Acme(Venue):
    """The exchange."""

    row_fields = ("pair", "n", "px", "sz", "taker")
    message_fields = ("t", "listening", "beat")
    display_name = "Acme Exchange"

    def __init__(self, settings: Settings) -> None:
        super().__init__(NAME)
        self._settings = settings

    def product_of(self, symbol: str) -> Product:
        return product_of(symbol)

    def feed(self) -> Feed | None:
        own = read_settings(AcmeSettings)
        if not own.acme_symbols:
            return None
        return AcmeFeed(
            own.acme_url,
            self,
            own.acme_symbols.split(","),
            symbols_per_subscribe=10,
            timing=SocketTiming.of(self._settings),
        )

    def symbols(self) -> Sequence[str]:
        own = read_settings(AcmeSettings)
        return own.acme_symbols.split(",") if own.acme_symbols else ()

    def addresses(self) -> Sequence[str]:
        own = read_settings(AcmeSettings)
        return [own.acme_url] if own.acme_symbols else []

    def read_message(self, data: bytes) -> Parsed:
        message = decoded(data)
        return Parsed(
            trades=[read_row(self.name, row) for row in message.get("t", ())],
            acks=[Ack(pair, accepted=True) for pair in message.get("listening", ())],
        )

    def read_row(self, row: bytes) -> Trade:
        return read_row(self.name, decoded(row))


def venues(settings: Settings) -> Iterable[Venue]:
    """Return what VENUES=tests.venues.acme.venue adds."""
    yield Acme(settings)
