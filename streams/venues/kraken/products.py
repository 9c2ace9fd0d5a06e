"""What Kraken's symbols are. Sources: KRAKEN's contract specifications for notional by product type."""

from functools import lru_cache
from typing import Final

from streams.errors import BadRecord
from streams.model.kinds import FUTURES_KIND, SPOT_KIND
from streams.model.products import Product, inverse, linear
from streams.model.trade import MAX_NAME

SPOT: Final = "kraken_spot"
FUTURES: Final = "kraken_futures"

USD_QUOTES: Final = ("USD", "USDT", "USDC")

INVERSE_PREFIXES: Final = ("PI_", "FI_")
FUTURES_PREFIXES: Final = (*INVERSE_PREFIXES, "PF_", "FF_")

SPOT_PRODUCT: Final = Product(SPOT_KIND, linear)
LINEAR_FUTURES: Final = Product(FUTURES_KIND, linear)
INVERSE_FUTURES: Final = Product(FUTURES_KIND, inverse)


def spot_product(symbol: str, usd_quotes: tuple[str, ...] = USD_QUOTES) -> Product:
    """Return what trades of a pair are. Raises :class:`BadRecord` unless it is ``BASE/QUOTE`` in a dollar."""
    if _quote(symbol) not in usd_quotes:
        raise BadRecord("unknown_quote", f"{symbol[:MAX_NAME]!r} is not quoted in {', '.join(usd_quotes)}")
    return SPOT_PRODUCT


def futures_product(product_id: str, usd_quotes: tuple[str, ...] = USD_QUOTES) -> Product:
    """Return what trades of a futures product are. Raises :class:`BadRecord` where its notional is not known."""
    product = _futures_product(product_id, usd_quotes)
    if product is not None:
        return product
    if not _is_product(product_id):
        text = f"product {product_id[:MAX_NAME]!r} is none of {', '.join(FUTURES_PREFIXES)}"
        raise BadRecord("unknown_quote", text)
    raise BadRecord("unknown_quote", f"product {product_id!r} is not quoted in {', '.join(usd_quotes)}")


def product_of(symbol: str) -> Product:
    """Return what a symbol of either is, whatever its quote: recordings name markets without their venue."""
    if not symbol.startswith(FUTURES_PREFIXES):
        return SPOT_PRODUCT
    return INVERSE_FUTURES if symbol.startswith(INVERSE_PREFIXES) else LINEAR_FUTURES


def _is_product(product_id: str) -> bool:
    return product_id.startswith(FUTURES_PREFIXES) and len(product_id) <= MAX_NAME


@lru_cache(maxsize=16_384)
def _quote(symbol: str) -> str:
    base, _, quote = symbol.partition("/")
    return quote if base and len(symbol) <= MAX_NAME else ""


@lru_cache(maxsize=16_384)
def _futures_product(product_id: str, usd_quotes: tuple[str, ...]) -> Product | None:
    is_known = _is_product(product_id) and product_id.split("_")[1].endswith(usd_quotes)
    return product_of(product_id) if is_known else None
