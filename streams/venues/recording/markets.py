"""Which market a name in a recording means, and what its trades are, as the first venue says that counts it."""

from collections.abc import Mapping
from typing import Final

from streams.errors import BadRecord
from streams.model.products import Product
from streams.venues.asking import product_of
from streams.venues.base import Venue
from streams.venues.recording.names import symbol_of_name

Market = tuple[str, Product]
"""A symbol as venues write it, and what its trades are."""

# Kraken lists about 1 500 markets. Beyond this a name is looked up each time.
_KEPT: Final = 4096
# How Tardis, which records many exchanges, calls Kraken's two.
KRAKENS: Final = frozenset(("kraken", "kraken_spot", "kraken_futures", "cryptofacilities", "kraken-futures"))


class Markets:
    """Names to markets. Raises :class:`BadRecord` for a name whose trades no venue counts in USD."""

    def __init__(self, venues: Mapping[str, Venue]) -> None:
        self._venues = venues
        self._known: dict[str, Market] = {}

    def named(self, name: str) -> Market:
        """Return the market of a name in a column or of an option: XBT/USD, XBTUSD and BTC-USD are all BTC/USD."""
        known = self._known.get(name)
        if known is not None:
            return known
        text = name.strip()
        symbol = symbol_of_name(text)
        try:
            market = self.exactly(symbol or text)
        except BadRecord:
            if symbol is None:
                raise
            market = self.exactly(text) if self._counts(text) else self.exactly(symbol)
        if len(self._known) < _KEPT:
            self._known[name] = market
        return market

    def check_exchange(self, name: str) -> None:
        """Raise :class:`BadRecord` for a row of an exchange that is none of the venues."""
        exchange = name.strip().lower()
        if exchange not in KRAKENS and exchange not in self._venues:
            known = ", ".join(sorted(KRAKENS | self._venues.keys()))
            raise BadRecord("unknown_venue", f"exchange is {name[:32]!r}, none of {known}")

    def exactly(self, symbol: str) -> Market:
        """Return the market of a symbol that is written as venues write it."""
        refusals = []
        for name, venue in self._venues.items():
            try:
                return symbol, product_of(venue, symbol)
            except BadRecord as error:
                refusals.append(f"{name}: {error.detail}")
        raise BadRecord("unknown_quote", "; ".join(refusals))

    def venue_of(self, symbol: str) -> Venue:
        """Return the venue that counts a symbol. Raises :class:`BadRecord` where none does."""
        for venue in self._venues.values():
            try:
                product_of(venue, symbol)
            except BadRecord:
                continue
            return venue
        raise BadRecord("unknown_quote", f"no venue counts {symbol!r} in USD")

    def _counts(self, symbol: str) -> bool:
        try:
            self.exactly(symbol)
        except BadRecord:
            return False
        return True
