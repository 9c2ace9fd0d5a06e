"""Kraken as tests meet it: its two venues under the settings' defaults, and what its symbols are."""

from streams.model.products import Product
from streams.settings import load_settings
from streams.venues.kraken.products import INVERSE_FUTURES, LINEAR_FUTURES, SPOT_PRODUCT
from streams.venues.kraken.venue import KrakenFutures, KrakenSpot

KRAKEN_SPOT = KrakenSpot(load_settings())
KRAKEN_FUTURES = KrakenFutures(load_settings())
SPOT = "kraken_spot"
FUTURES = "kraken_futures"


def product_of(symbol: str) -> Product:
    """Return what a symbol is by its prefix, whatever its quote; asks no code of the program."""
    if symbol.startswith(("PI_", "FI_")):
        return INVERSE_FUTURES
    return LINEAR_FUTURES if symbol.startswith(("PF_", "FF_")) else SPOT_PRODUCT
