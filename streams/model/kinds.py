"""What kind of market a market is: whether its trades carry liquidation labels, and how wide their ids are.

A venue says it of each of its markets. It travels in frames and is kept in a market's state, so a worker needs no
knowledge of the venue to count its trades.
"""

from functools import lru_cache
from typing import Annotated, Final, Literal, Protocol

import msgspec

# The settings allow a venue's name as many characters. No symbol comes near; a longer one is noise that would become a
# key, a row and a label.
MAX_NAME: Final = 64
WIDE_ID_BYTES: Final = 16


class MarketKind(msgspec.Struct, frozen=True, array_like=True):
    """A kind of market. ``name`` is "spot", "futures" or a venue's own word.

    ``has_liquidations`` says whether trades carry liquidation labels. ``id_bytes`` is the width of trade ids: 8 for
    integers, 16 for 128-bit values.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    has_liquidations: bool
    id_bytes: Literal[8, 16]

    @property
    def has_wide_ids(self) -> bool:
        """Whether ids are 128-bit values."""
        return self.id_bytes == WIDE_ID_BYTES


class AnyMarket(Protocol):
    """A market, or a copy of one: what it is called and what it is."""

    @property
    def venue(self) -> str:
        """The venue's name."""
        ...

    @property
    def symbol(self) -> str:
        """The symbol."""
        ...

    @property
    def kind(self) -> MarketKind:
        """What kind of market it is."""
        ...


SPOT_KIND: Final = MarketKind("spot", has_liquidations=False, id_bytes=8)
FUTURES_KIND: Final = MarketKind("futures", has_liquidations=True, id_bytes=16)

FUTURES_PREFIXES: Final = ("PI_", "FI_", "PF_", "FF_")
"""How Kraken calls its futures whose notional is known. Stored state relies on them, so they stay."""


# Asked several times per frame.
@lru_cache(maxsize=100_000)
def implied_kind(symbol: str) -> MarketKind:
    """Return what frames and state that name no kind mean: Kraken's futures by their prefixes, spot otherwise.

    Frames and state name a kind only where it differs from this.
    """
    return FUTURES_KIND if symbol.startswith(FUTURES_PREFIXES) else SPOT_KIND


def kind_to_name(symbol: str, kind: MarketKind) -> MarketKind | None:
    """Return the kind that a frame or a head must name; None where the symbol says the same."""
    before = implied_kind(symbol)
    return None if kind is before or kind == before else kind
