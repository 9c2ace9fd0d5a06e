"""What the simulated markets trade: prices to start from, precision, and how busy each one is."""

import math
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from streams.model.trade import FUTURES, SPOT
from streams.venues.kraken.parsing import check_product

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
    is_inverse: bool
    weight: float
    daily_volatility: float

    def price(self, value: float) -> Decimal:
        """Return the price at the engine's precision, never zero."""
        least = Decimal(1).scaleb(-self.price_decimals)
        return max(Decimal(value).quantize(least), least)

    def quantity(self, notional_usd: float, price: Decimal) -> Decimal:
        """Return the quantity nearest to the notional at the engine's precision, never zero."""
        least = Decimal(1).scaleb(-self.quantity_decimals)
        exact = Decimal(notional_usd) if self.is_inverse else Decimal(notional_usd) / price
        return max(exact.quantize(least), least)

    def notional(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return what the trade is worth in USD."""
        return quantity if self.is_inverse else quantity * price


def spot_instrument(symbol: str) -> Instrument:
    """Return the simulated spot market of that name (``BASE/QUOTE``)."""
    base = symbol.partition("/")[0]
    price, decimals, _, weight, volatility = _preset(base)
    return Instrument(SPOT, symbol, base, price, decimals, SPOT_QUANTITY_DECIMALS, False, weight, volatility)  # noqa: FBT003 - fields in order


def futures_instrument(product_id: str) -> Instrument:
    """Return the simulated futures product of that name.

    Raises :class:`~streams.errors.BadRecord` for a kind of product whose notional is not known.
    """
    check_product(product_id)
    prefix, pair = product_id.split("_")[:2]
    name = pair.removesuffix("USD")
    base = _ALIASES.get(name, name)
    price, decimals, lot, weight, volatility = _preset(base)
    is_inverse = prefix in ("PI", "FI")
    return Instrument(
        FUTURES, product_id, base, price, decimals, 0 if is_inverse else lot, is_inverse, weight, volatility
    )


def _preset(base: str) -> tuple[float, int, int, float, float]:
    if base in _PRESETS:
        return _PRESETS[base]
    digest = int.from_bytes(blake2b(base.encode(), digest_size=4).digest())
    price = 10 ** (digest / 2**32 * 4 - 2)
    return price, max(0, 4 - math.floor(math.log10(price))), 1 if price > 1 else 0, 0.5, 0.08
