"""Fixed-point amounts: what a trade is worth in USD and how much was traded, as integers that add up exactly.

The trade's product says what price and quantity mean (:mod:`streams.model.products`). Every trade is rounded once,
half to even:

* ``notional_micro_usd``: what the trade is worth, in 1e-6 USD;
* ``notional_rest``: what that rounding left, in 1e-15 USD, so that VWAP is computed from the exact product;
* ``quantity_units``: base quantity in 1e-14.
"""

from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from streams.errors import BadRecord
from streams.model.products import EXACT
from streams.model.trade import Trade

MICRO_PER_USD: Final = 10**6
REST_PER_MICRO: Final = 10**9
UNITS_PER_BASE: Final = 10**14

# As many such trades as a frame holds (streams/model/frames.py) sum within 63 bits: a column sum cannot overflow.
MAX_NOTIONAL_MICRO_USD: Final = 10**9 * MICRO_PER_USD

MAX_UNITS: Final = 10**18 * UNITS_PER_BASE


class Amounts(NamedTuple):
    """A trade's fixed-point amounts; see the module's docstring for units."""

    notional_micro_usd: int
    notional_rest: int
    quantity_units: int


def _scaled(value: Decimal, digits: int) -> int:
    return int(EXACT.to_integral_value(EXACT.scaleb(value, digits)))


def amounts_of(trade: Trade) -> Amounts:
    """Return a trade's amounts. Raises :class:`BadRecord` where they are absurd."""
    try:
        worth, base = trade.product.notional(trade.price, trade.quantity)
        fine = _scaled(worth, 15)
        units = _scaled(base, 14)
    except InvalidOperation:
        text = f"price {trade.price:.6E} x quantity {trade.quantity:.6E} cannot be computed"
        raise BadRecord("magnitude", text) from None
    micro, rest = divmod(fine, REST_PER_MICRO)
    if rest * 2 >= REST_PER_MICRO:
        micro, rest = _half_even(worth, micro, rest)
    if not 0 <= micro <= MAX_NOTIONAL_MICRO_USD:
        raise BadRecord("magnitude", f"a notional of {worth:.6E} USD in one trade is beyond any market")
    if not 0 < units < MAX_UNITS:
        raise BadRecord("magnitude", f"a base quantity of {units}e-14 cannot be kept")
    return Amounts(micro, rest, units)


def _half_even(worth: Decimal, micro: int, rest: int) -> tuple[int, int]:
    rounded = _scaled(worth, 6)
    return rounded, rest - (rounded - micro) * REST_PER_MICRO
