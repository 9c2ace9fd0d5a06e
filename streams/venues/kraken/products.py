"""What Kraken's symbols are. Source: Kraken's contract specifications, for the notional of each type of product."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from streams.errors import BadRecord
from streams.model.kinds import FUTURES_KIND, FUTURES_PREFIXES, MAX_NAME, SPOT_KIND
from streams.model.products import Product, inverse, linear

INVERSE_PREFIXES: Final = ("PI_", "FI_")

SPOT_PRODUCT: Final = Product(SPOT_KIND, linear)
LINEAR_FUTURES: Final = Product(FUTURES_KIND, linear)
INVERSE_FUTURES: Final = Product(FUTURES_KIND, inverse)

ProductOf = Callable[[str], Product]
"""A symbol to what its trades are. It is asked once per trade, so what it found is kept. Raises :class:`BadRecord`."""

# Kraken lists about 1 500 markets. What is refused is not kept.
_MAX_SYMBOLS: Final = 16_384


def spot_products(usd_quotes: tuple[str, ...]) -> ProductOf:
    """Return what says what a pair's trades are. It refuses what is not ``BASE/QUOTE`` in one of these dollars."""

    @lru_cache(maxsize=_MAX_SYMBOLS)
    def product_of(symbol: str) -> Product:
        base, _, quote = symbol.partition("/")
        if not base or quote not in usd_quotes or len(symbol) > MAX_NAME:
            raise BadRecord("unknown_quote", f"{symbol[:MAX_NAME]!r} is not quoted in {', '.join(usd_quotes)}")
        return SPOT_PRODUCT

    return product_of


def futures_products(usd_quotes: tuple[str, ...]) -> ProductOf:
    """Return what says what a futures product's trades are. It refuses one whose notional is not known."""

    @lru_cache(maxsize=_MAX_SYMBOLS)
    def product_of(product_id: str) -> Product:
        if not product_id.startswith(FUTURES_PREFIXES) or len(product_id) > MAX_NAME:
            text = f"product {product_id[:MAX_NAME]!r} is none of {', '.join(FUTURES_PREFIXES)}"
            raise BadRecord("unknown_quote", text)
        if not product_id.split("_")[1].endswith(usd_quotes):
            raise BadRecord("unknown_quote", f"product {product_id!r} is not quoted in {', '.join(usd_quotes)}")
        return INVERSE_FUTURES if product_id.startswith(INVERSE_PREFIXES) else LINEAR_FUTURES

    return product_of
