"""What Kraken's symbols are. Source: Kraken's contract specifications, for the notional of each type of product."""

from functools import lru_cache
from typing import Final

from streams.errors import BadRecord
from streams.model.kinds import FUTURES_KIND, FUTURES_PREFIXES, SPOT_KIND
from streams.model.products import Product, inverse, linear
from streams.model.trade import MAX_NAME

INVERSE_PREFIXES: Final = ("PI_", "FI_")

SPOT_PRODUCT: Final = Product(SPOT_KIND, linear)
LINEAR_FUTURES: Final = Product(FUTURES_KIND, linear)
INVERSE_FUTURES: Final = Product(FUTURES_KIND, inverse)

# Kraken lists about 1 500 markets. What is refused is not kept.
_MAX_SYMBOLS: Final = 16_384


# Asked once a trade.
@lru_cache(maxsize=_MAX_SYMBOLS)
def spot_product(symbol: str, usd_quotes: tuple[str, ...]) -> Product:
    """Return what trades of a pair are. Raises :class:`BadRecord` unless it is ``BASE/QUOTE`` in a dollar."""
    base, _, quote = symbol.partition("/")
    if not base or quote not in usd_quotes or len(symbol) > MAX_NAME:
        raise BadRecord("unknown_quote", f"{symbol[:MAX_NAME]!r} is not quoted in {', '.join(usd_quotes)}")
    return SPOT_PRODUCT


# Asked once a trade.
@lru_cache(maxsize=_MAX_SYMBOLS)
def futures_product(product_id: str, usd_quotes: tuple[str, ...]) -> Product:
    """Return what trades of a futures product are. Raises :class:`BadRecord` where its notional is not known."""
    if not product_id.startswith(FUTURES_PREFIXES) or len(product_id) > MAX_NAME:
        text = f"product {product_id[:MAX_NAME]!r} is none of {', '.join(FUTURES_PREFIXES)}"
        raise BadRecord("unknown_quote", text)
    if not product_id.split("_")[1].endswith(usd_quotes):
        raise BadRecord("unknown_quote", f"product {product_id!r} is not quoted in {', '.join(usd_quotes)}")
    return INVERSE_FUTURES if product_id.startswith(INVERSE_PREFIXES) else LINEAR_FUTURES
