"""Amounts made from doubles are those made from the decimals, or none."""

from decimal import Decimal

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from streams.errors import BadRecord
from streams.model.amounts import UNITS_PER_BASE, amounts_of
from streams.model.decimals import MOST_DIGITS, linear_amounts
from streams.model.trade import Side
from tests.trades import spot

SHORT = st.builds(
    lambda digits, decimals: Decimal(digits).scaleb(-decimals),
    st.integers(0, 10**MOST_DIGITS - 1) | st.integers(0, 10**7),
    st.integers(0, 20),
)


@given(st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=40))
@example([(Decimal("0.5"), Decimal("0.000001")), (Decimal("1.5"), Decimal("0.000001"))])
@example([(Decimal("999999999.999999"), Decimal("0.99999999"))])
@example([(Decimal("105234.1"), Decimal("0.00012345")), (Decimal("0.00001234"), Decimal("1234567.12345"))])
def test_amounts_are_those_of_the_decimals(trades: list[tuple[Decimal, Decimal]]) -> None:
    """Bit for bit, to the rest that rounding leaves; what the decimals refuse is not exact."""
    prices, quantities = (np.array([float(number) for number in numbers]) for numbers in zip(*trades, strict=True))
    found = linear_amounts(prices, quantities)
    for at, (price, quantity) in enumerate(trades):
        if not found.is_exact[at]:
            continue
        amounts = amounts_of(spot(1, price=price, quantity=quantity, side=Side.BUY))
        assert amounts.notional_micro_usd == found.notionals[at]
        assert amounts.notional_rest == found.rests[at]
        assert divmod(amounts.quantity_units, UNITS_PER_BASE) == (found.wholes[at], found.fractions[at])


@given(price=st.integers(1, 10**7), quantity=st.integers(1, 10**10), decimals=st.integers(0, 7))
def test_amounts_of_usual_trades_are_exact(price: int, quantity: int, decimals: int) -> None:
    """Prices of up to seven digits, quantities of eight decimals: they need no decimals."""
    numbers = Decimal(price).scaleb(-decimals), Decimal(quantity).scaleb(-8)
    found = linear_amounts(np.array([float(numbers[0])]), np.array([float(numbers[1])]))
    try:
        amounts_of(spot(1, price=numbers[0], quantity=numbers[1]))
    except BadRecord:
        return
    assert found.is_exact[0] or numbers[0] * numbers[1] > 10**8
