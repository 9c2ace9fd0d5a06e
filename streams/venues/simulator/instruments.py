"""What the simulated markets trade: prices to start from, precision, and how busy each one is."""

import math
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from streams.model.kinds import SPOT_KIND
from streams.model.products import Product, inverse
from streams.settings import Settings
from streams.venues.base import Venue
from streams.venues.kraken.venue import KrakenFutures, KrakenSpot

# base: price in USD, decimals of the price, decimals of a futures lot, share of the trades, volatility a day.
# Precision is Kraken's, and prices are of its order, so that figures look familiar.
_PRESETS: Final = {
    "BTC": (63_000.0, 1, 4, 4.0, 0.03),
    "ETH": (3_100.0, 2, 3, 3.0, 0.04),
    "SOL": (148.0, 2, 2, 2.0, 0.06),
    "XRP": (0.58, 5, 0, 1.5, 0.05),
    "DOGE": (0.13, 7, 0, 1.0, 0.07),
}
_ALIASES: Final = {"XBT": "BTC", "XDG": "DOGE"}
# Kraken's spot engine counts coins to eight decimals.
SPOT_QUANTITY_DECIMALS: Final = 8


@dataclass(frozen=True, slots=True)
class Instrument:
    """One simulated market.

    ``base`` names the price process that it shares with other markets. ``weight`` is its share of all trades.
    ``daily_volatility`` is the standard deviation of a day's log return.
    """

    venue: str
    symbol: str
    base: str
    start_price: float
    price_decimals: int
    quantity_decimals: int
    product: Product
    weight: float
    daily_volatility: float

    @property
    def is_labelled(self) -> bool:
        """Whether liquidations carry a label: on futures they do, and times are whole milliseconds."""
        return self.product.kind.has_liquidations

    def price(self, value: float) -> Decimal:
        """Return the price at the engine's precision, never zero."""
        least = Decimal(1).scaleb(-self.price_decimals)
        return max(Decimal(value).quantize(least), least)

    def quantity(self, notional_usd: float, price: Decimal) -> Decimal:
        """Return the quantity nearest to the notional at the engine's precision, never zero."""
        least = Decimal(1).scaleb(-self.quantity_decimals)
        worth_of_one, _ = self.product.notional(price, Decimal(1))
        exact = Decimal(notional_usd) / worth_of_one
        return max(exact.quantize(least), least)

    def notional(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return what the trade is worth in USD."""
        worth, _ = self.product.notional(price, quantity)
        return worth


def simulated_instruments(settings: Settings) -> list[Instrument]:
    """Return the markets of SPOT_SYMBOLS and FUTURES_SYMBOLS. They are what Kraken's venues say that they are.

    Raises :class:`~streams.errors.BadRecord` for a symbol whose notional is not known.
    """
    spot, futures = KrakenSpot(settings), KrakenFutures(settings)
    return [
        *(_instrument(spot, symbol) for symbol in settings.spot_symbols),
        *(_instrument(futures, symbol) for symbol in settings.futures_symbols),
    ]


def _instrument(venue: Venue, symbol: str) -> Instrument:
    product = venue.product_of(symbol)
    base = _base_of(symbol)
    price, decimals, lot, weight, volatility = _preset(base)
    if product.kind == SPOT_KIND:
        lot = SPOT_QUANTITY_DECIMALS
    elif product.notional is inverse:
        lot = 0  # contracts are whole
    return Instrument(venue.name, symbol, base, price, decimals, lot, product, weight, volatility)


def _base_of(symbol: str) -> str:
    """Return the coin of ``BASE/QUOTE`` and of ``PF_BASEUSD``, under one name for both."""
    base, slash, _ = symbol.partition("/")
    if slash:
        return base
    name = symbol.split("_")[1].removesuffix("USD")
    return _ALIASES.get(name, name)


def _preset(base: str) -> tuple[float, int, int, float, float]:
    if base in _PRESETS:
        return _PRESETS[base]
    digest = int.from_bytes(blake2b(base.encode(), digest_size=4).digest())
    price = 10 ** (digest / 2**32 * 4 - 2)
    return price, max(0, 4 - math.floor(math.log10(price))), 1 if price > 1 else 0, 0.5, 0.08
