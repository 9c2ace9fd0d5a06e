"""What Kraken's file names and REST keys call a market, as the symbol used everywhere; and the venue of a recording."""

import re
from collections.abc import Collection
from hashlib import blake2b
from pathlib import PurePath
from typing import Final

from streams.model.kinds import FUTURES_PREFIXES, MAX_NAME

# A name without a slash ends in one of these. The longest that fits is meant: XBTUSDT is quoted in USDT.
QUOTES: Final = (
    "USDT",
    "USDC",
    "USDQ",
    "USDR",
    "PYUSD",
    "RLUSD",
    "EURQ",
    "EURR",
    "USD",
    "EUR",
    "GBP",
    "CAD",
    "JPY",
    "CHF",
    "AUD",
    "DAI",
    "XBT",
    "BTC",
    "ETH",
    "DOT",
)
# In a name of several words only a pair in one of these is believed: "polkadot" must not become POLKA/DOT.
_COMMON_QUOTES: Final = ("USD", "USDT", "USDC", "EUR", "GBP")
# Files are often called after where they come from: krakenUSD.csv holds no market KRAKEN/USD.
_NO_BASES: Final = frozenset(
    (
        *(
            "KRAKEN",
            "BITSTAMP",
            "COINBASE",
            "BITFINEX",
            "BINANCE",
            "GEMINI",
            "MTGOX",
            "ITBIT",
            "BTCE",
            "BITMEX",
        ),
        *("TRADE", "TRADES", "SPOT", "FUTURES", "HISTORY"),
    )
)
_RENAMED: Final = {"XBT": "BTC", "XDG": "DOGE"}
_PRODUCT: Final = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(FUTURES_PREFIXES)})[A-Z0-9]{{4,}}(?:_\d{{6}}(?!\d))?", re.IGNORECASE
)
_LEGACY: Final = re.compile(r"[XZ]([A-Z0-9]{3})[XZ]([A-Z0-9]{3})")
_VENUE_PREFIX: Final = "recording:"


def symbol_of_pair(pair: str, quotes: Collection[str] = QUOTES) -> str | None:
    """Return the v2 symbol of a pair name, None where it is none: ``XXBTZUSD``, ``xbtusd`` → ``BTC/USD``."""
    name = pair.upper()
    base, slash, quote = name.partition("/")
    if not slash:
        legacy = _LEGACY.fullmatch(name)
        if legacy and legacy[2] in quotes:
            base, quote = legacy[1], legacy[2]
        else:
            quote = next((known for known in sorted(quotes, key=len, reverse=True) if name.endswith(known)), "")
            base = name.removesuffix(quote)
    if not quote or not (len(base) > 1 and base.isalnum() and base.isascii()):
        return None
    return f"{_RENAMED.get(base, base)}/{_RENAMED.get(quote, quote)}"


def symbol_of_name(text: str) -> str | None:
    """Return the symbol of a name as people write it, None where it is no pair: ``XBT/USD``, ``BTC-USD``, ``xbtusd``.

    A quote behind a slash need not be a known one.
    """
    return symbol_of_pair(text, (*QUOTES, text.partition("/")[2])) or symbol_of_pair(text.replace("-", "/"))


def symbol_of_file(path: PurePath) -> str | None:
    """Guess the market from a file name: ``XBTUSD.csv`` and ``kraken_spot_btcusd_2019-07-01.csv`` → ``BTC/USD``."""
    if product := _PRODUCT.search(path.stem):
        return product[0].upper()
    words = re.split(r"[^A-Za-z0-9]+", path.stem)
    quotes = QUOTES if len(words) == 1 else _COMMON_QUOTES
    found = (symbol for word in words if (symbol := symbol_of_pair(word, quotes)))
    return next((symbol for symbol in found if symbol.partition("/")[0] not in _NO_BASES), None)


def venue_of_file(path: PurePath) -> str:
    """Return the venue of a recording, made from its file's name.

    A file that is sent again meets the identities of its own trades, and never those of live ones.
    """
    venue = _VENUE_PREFIX + re.sub(r"[^a-z0-9_.:-]", "-", path.stem.lower())
    if len(venue) > MAX_NAME:
        # Long names often differ in their ends only.
        digest = blake2b(path.stem.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        venue = f"{venue[: MAX_NAME - len(digest) - 1]}-{digest}"
    return venue
