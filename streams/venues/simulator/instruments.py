"""What the simulated markets trade: prices to start from, precision, and how busy each one is."""

import math
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from streams.model.products import Product
from streams.venues.kraken.products import FUTURES, INVERSE_FUTURES, SPOT, SPOT_PRODUCT, futures_product

# base: price in USD, decimals of the price, decimals of a futures lot, share of the trades, volatility a day
_PRESETS: Final = {
    "BTC": (63_000.0, 1, 4, 4.0, 0.03),
    "ETH": (3_100.0, 2, 3, 3.0, 0.04),
    "SOL": (148.0, 2, 2, 2.0, 0.06),
    "XRP": (0.58, 5, 0, 1.5, 0.05),
    "DOGE": (0.13, 7, 0, 1.0, 0.07),
}
_ALIASES: Final = {"XBT": "BTC", "XDG": "DOGE"}
SPOT_QUANTITY_DECIMALS: Final = 8


@dataclass(frozen=True, slots=True)
class Instrument:
    """One simulated market.

    ``base`` names the price process that it shares with other markets; ``weight`` is its share of all trades;
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


def spot_instrument(symbol: str) -> Instrument:
    """Return the simulated spot market of that name (``BASE/QUOTE``)."""
    base = symbol.partition("/")[0]
    price, decimals, _, weight, volatility = _preset(base)
    return Instrument(SPOT, symbol, base, price, decimals, SPOT_QUANTITY_DECIMALS, SPOT_PRODUCT, weight, volatility)


def futures_instrument(product_id: str) -> Instrument:
    """Return the simulated futures product of that name.

    Raises :class:`~streams.errors.BadRecord` for a kind of product whose notional is not known.
    """
    product = futures_product(product_id)
    pair = product_id.split("_")[1]
    name = pair.removesuffix("USD")
    base = _ALIASES.get(name, name)
    price, decimals, lot, weight, volatility = _preset(base)
    lot = 0 if product is INVERSE_FUTURES else lot
    return Instrument(FUTURES, product_id, base, price, decimals, lot, product, weight, volatility)


def _preset(base: str) -> tuple[float, int, int, float, float]:
    if base in _PRESETS:
        return _PRESETS[base]
    digest = int.from_bytes(blake2b(base.encode(), digest_size=4).digest())
    price = 10 ** (digest / 2**32 * 4 - 2)
    return price, max(0, 4 - math.floor(math.log10(price))), 1 if price > 1 else 0, 0.5, 0.08
