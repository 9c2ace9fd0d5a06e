"""Markets as Kraken's sockets write them, and what to write where a setting says it otherwise. Pure."""

from collections.abc import Collection, Iterable
from typing import Final

RENAMED: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""Names in Kraken's REST interface, and in WebSocket v2."""
_SEPARATORS: Final = "-_:"


def check_pair(symbol: str, quotes: Collection[str]) -> str:
    """Return a spot market. Raises :class:`ValueError` that says what to write for one that Kraken does not know so."""
    right = pair_to_write(symbol, quotes)
    if right is None:
        raise ValueError(f"must be BASE/QUOTE pairs such as BTC/USD, not {symbol!r}")
    if right != symbol:
        raise ValueError(f"write {right}, not {symbol!r}")
    return symbol


def pair_to_write(symbol: str, quotes: Collection[str]) -> str | None:
    """Return how a pair is written, the same where it is right, and None where no pair can be told.

    Tokenized stocks are right with their small x: ``AAPLx/USD``.
    """
    base, slash, quote = symbol.partition("/")
    if not slash:
        quote = next((one for one in sorted(quotes, key=len, reverse=True) if symbol.upper().endswith(one)), "")
        base = symbol[: len(symbol) - len(quote)].rstrip(_SEPARATORS)
        if not base.isalnum():
            return None
    if not base or not quote or "/" in quote:
        return None
    base = base if _is_ticker(base) else base.upper()
    return f"{RENAMED.get(base, base)}/{RENAMED.get(quote.upper(), quote.upper())}"


def check_product(symbol: str) -> str:
    """Return a futures product. Raises :class:`ValueError` that says what to write for one in small letters."""
    if symbol != symbol.upper():
        raise ValueError(f"write {symbol.upper()}, not {symbol!r}")
    return symbol


def check_products(symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Return futures products. Raises :class:`ValueError` as :func:`check_product` does."""
    return tuple(check_product(symbol) for symbol in symbols)


def check_quotes(pairs: Iterable[str], quotes: Collection[str]) -> None:
    """Raise :class:`ValueError` where a pair's quote is none of these, which count as USD."""
    for symbol in pairs:
        if symbol.partition("/")[2] not in quotes:
            raise ValueError(
                f"SPOT_SYMBOLS holds {symbol}, whose quote is none of USD_QUOTES ({', '.join(quotes)}); "
                "it would need a conversion rate, which does not exist yet: leave it out"
            )


def _is_ticker(base: str) -> bool:
    """Whether all letters are capital, but for the mark of a tokenized stock."""
    return base == base.upper() or (len(base) > 1 and base[-1] == "x" and base[:-1] == base[:-1].upper())
