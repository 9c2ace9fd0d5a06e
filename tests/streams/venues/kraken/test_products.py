"""What Kraken's symbols are: the prefix of a futures product says what its quantities count."""

import pytest

from streams.errors import BadRecord
from streams.model.products import Product
from streams.venues.kraken.products import (
    INVERSE_FUTURES,
    LINEAR_FUTURES,
    SPOT_PRODUCT,
    futures_products,
    spot_products,
)

DOLLARS = ("USD", "USDT", "USDC")


@pytest.mark.parametrize(
    ("symbol", "product"),
    [
        ("PF_XBTUSD", LINEAR_FUTURES),
        ("FF_ETHUSD_250328", LINEAR_FUTURES),
        ("PI_XBTUSD", INVERSE_FUTURES),
        ("FI_XBTUSD_250328", INVERSE_FUTURES),
    ],
)
def test_futures_are_linear_or_inverse(symbol: str, product: Product) -> None:
    """Perpetual and dated; both are labelled, and both have wide ids."""
    assert futures_products(DOLLARS)(symbol) is product
    assert (product.kind.has_liquidations, product.kind.id_bytes) == (True, 16)


@pytest.mark.parametrize("symbol", ["PV_XRPXBT", "PI_XBTEUR", "PF_" + "X" * 62 + "USD", "BTC/USD", ""])
def test_a_product_without_a_known_notional_is_refused(symbol: str) -> None:
    """Its trades would be counted in a unit that is not USD."""
    with pytest.raises(BadRecord, match="unknown_quote"):
        futures_products(DOLLARS)(symbol)


def test_pairs_against_a_dollar_are_spot() -> None:
    """Which dollars count is a setting; a pair may be called like a product."""
    assert spot_products(DOLLARS)("BTC/USDT") is spot_products(DOLLARS)("PF_X/USD") is SPOT_PRODUCT
    with pytest.raises(BadRecord, match="unknown_quote"):
        spot_products(("USD",))("BTC/USDT")
    with pytest.raises(BadRecord, match="unknown_quote"):
        spot_products(DOLLARS)("/USD")
