"""Exact amounts of many trades at once, from the doubles nearest to their decimals. Pure.

A decimal of at most 15 digits is the only one of its length that a double is nearest to. So where the text of a number
is known to be that short, its integer digits follow from the double. What does not follow plainly is left out.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.model.amounts import MAX_NOTIONAL_MICRO_USD, MICRO_PER_USD
from streams.model.trade import MAX_PRICE, MIN_PRICE

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

MOST_DIGITS: Final = 15
"""Digits of a decimal that its double tells apart from all others as short."""

# Base quantities are kept to as many decimals, and products with notionals to one more.
_MOST_DECIMALS: Final = 14
_REST_DECIMALS: Final = 15
_MICRO_DECIMALS: Final = 6
# Integers up to here, times or over a power of ten, are at most a quarter off as doubles: rounding finds them.
_MOST_INTEGER: Final = 10.0**MOST_DIGITS
_POWERS: Final = np.array([10**n for n in range(_REST_DECIMALS + 1)], np.int64)
# Below 2^63 with room for what a double of the product is off.
_MOST_PRODUCT: Final = 2.0**62
_MOST_WORTH: Final = 0.99 * MAX_NOTIONAL_MICRO_USD / MICRO_PER_USD
_MOST_PRICE: Final = float(MAX_PRICE)
_LEAST_PRICE: Final = float(MIN_PRICE)


class AmountColumns(NamedTuple):
    """Amounts of trades as :mod:`streams.model.amounts` defines them, where ``is_exact``; elsewhere nothing."""

    is_exact: Marks
    notionals: Integers
    rests: Integers
    wholes: Integers
    fractions: Integers


def linear_amounts(prices: Doubles, quantities: Doubles) -> AmountColumns:
    """Return the amounts of trades whose quantity is in base currency, whose numbers have at most 15 digits each.

    Trades of which no exact amount follows are marked so: impossible ones, absurd ones, and products that are too fine.
    """
    with np.errstate(over="ignore"):
        is_small = prices * quantities < _MOST_WORTH
        price_integers, price_decimals, is_exact = _integers(prices)
        quantity_integers, quantity_decimals, is_whole = _integers(quantities)
    decimals = price_decimals + quantity_decimals
    is_exact &= is_whole & is_small
    is_exact &= (quantity_integers > 0) & (prices >= _LEAST_PRICE) & (prices <= _MOST_PRICE)
    is_exact &= (price_integers > 0) & (decimals <= _REST_DECIMALS)
    is_exact &= price_integers * quantity_integers < _MOST_PRODUCT
    if not is_exact.all():
        price_integers, quantity_integers = (
            np.where(is_exact, integers, 1.0) for integers in (price_integers, quantity_integers)
        )
        decimals, quantity_decimals = (np.where(is_exact, found, 0) for found in (decimals, quantity_decimals))
    bases = quantity_integers.astype(np.int64)
    products = price_integers.astype(np.int64) * bases
    steps = _POWERS[np.maximum(decimals - _MICRO_DECIMALS, 0)]
    notionals, rests = np.divmod(products, steps)
    notionals *= _POWERS[np.maximum(_MICRO_DECIMALS - decimals, 0)]
    twice = 2 * rests
    is_up = (twice > steps) | ((twice == steps) & (notionals & 1 == 1))
    rests = np.where(is_up, rests - steps, rests) * _POWERS[_REST_DECIMALS - np.maximum(decimals, _MICRO_DECIMALS)]
    notionals += is_up
    wholes, fractions = np.divmod(bases, _POWERS[quantity_decimals])
    return AmountColumns(is_exact, notionals, rests, wholes, fractions * _POWERS[_MOST_DECIMALS - quantity_decimals])


def _integers(values: Doubles) -> tuple[Doubles, Integers, Marks]:
    """Return decimals as integers, how many of their digits are decimals (the least), and where there are such."""
    integers = np.zeros(len(values))
    decimals = np.zeros(len(values), np.int64)
    is_found = np.zeros(len(values), np.bool_)
    places, left = np.arange(len(values)), values
    for count in range(_MOST_DECIMALS + 1):
        power = 10.0**count
        candidates = np.rint(left * power)
        fits = (candidates / power == left) & (candidates <= _MOST_INTEGER)
        if not fits.any():
            continue
        found = places[fits]
        integers[found], decimals[found], is_found[found] = candidates[fits], count, True
        places, left = places[~fits], left[~fits]
        if not len(places):
            break
    return integers, decimals, is_found
