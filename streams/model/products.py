"""What the numbers of a trade mean: the kind of its market, and what price and quantity are worth.

A venue says it of each of its symbols. Nobody behind the producer needs to know: frames carry the amounts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from streams.model.kinds import MarketKind

# Wide enough for the exact product of any price and quantity that a trade may have.
EXACT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN)

Notional = Callable[[Decimal, Decimal], tuple[Decimal, Decimal]]
"""(price, quantity) to (what the trade is worth in USD, its base quantity), both exact: compute in :data:`EXACT`."""


def linear(price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Return worth and base quantity where quantity is in base currency: spot, and linear futures."""
    return EXACT.multiply(price, quantity), quantity


def inverse(price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Return worth and base quantity where quantity counts contracts of 1 USD: inverse futures."""
    return quantity, EXACT.divide(quantity, price)


@dataclass(frozen=True, slots=True)
class Product:
    """What a venue's trades of one symbol are: the market's kind, and the notional of a price and a quantity."""

    kind: MarketKind
    notional: Notional
