"""What a trade is worth: exact integers, rounded once, never an overflow."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadRecord
from streams.model.amounts import (
    MAX_NOTIONAL_MICRO_USD,
    REST_PER_MICRO,
    UNITS_PER_BASE,
    amounts_of,
)
from streams.model.frames import MAX_FRAME_TRADES, encode_frame
from streams.model.kinds import SPOT_KIND
from streams.model.products import Product, linear
from streams.model.trade import MIN_TIME_US, Trade
from tests.trades import BTC, INVERSE, PERPETUAL, future, spot

DECIMALS = st.decimals(allow_nan=True, allow_infinity=True)
PRICES = st.decimals(Decimal("0.00000001"), Decimal(1_000_000), allow_nan=False, allow_infinity=False, places=8)
QUANTITIES = st.decimals(Decimal("0.0001"), Decimal(1000), allow_nan=False, allow_infinity=False, places=10)


def test_linear_futures_count_base_units() -> None:
    """The check in Kraken's own data: 0.0113 PF_XBTUSD at 90771 carries usdValue 1025.71."""
    amounts = amounts_of(future(price=Decimal(90771), quantity=Decimal("0.0113")))
    assert amounts.notional_micro_usd == 1_025_712_300
    assert amounts.quantity_units == 113 * UNITS_PER_BASE // 10_000


def test_liquidation_of_one_bitcoin_is_not_one_dollar() -> None:
    """Dividing a linear product's quantity by its price, as an aggregator does, makes 1 BTC worth 1 USD."""
    assert amounts_of(future(price=Decimal(90_000), quantity=Decimal(1))).notional_micro_usd == 90_000_000_000


def test_inverse_futures_count_contracts_of_one_dollar() -> None:
    """15000 contracts are 15000 USD at any price; the base quantity is contracts by price."""
    amounts = amounts_of(future(symbol=INVERSE, price=Decimal("34969.5"), quantity=Decimal(15_000)))
    assert (amounts.notional_micro_usd, amounts.notional_rest) == (15_000_000_000, 0)
    assert amounts.quantity_units == round(Fraction(15_000) / Fraction("34969.5") * UNITS_PER_BASE)


@pytest.mark.parametrize(
    ("product", "micro", "rest"),
    [("0.0000005", 0, 500_000_000), ("0.0000015", 2, -500_000_000), ("0.0000025", 2, 500_000_000),
     ("0.00000149", 1, 490_000_000), ("1.0000001", 1_000_000, 100_000_000)],
)  # fmt: skip
def test_rounding_is_half_to_even_and_keeps_the_rest(product: str, micro: int, rest: int) -> None:
    """What rounding a notional leaves is kept beside it."""
    amounts = amounts_of(spot(price=Decimal(product), quantity=Decimal(1)))
    assert (amounts.notional_micro_usd, amounts.notional_rest) == (micro, rest)


def test_a_venue_may_count_contracts_of_its_own() -> None:
    """Its product says what a price and a quantity are worth: here contracts of a hundredth of a coin."""

    def hundredths(price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
        return linear(price, quantity / 100)

    amounts = amounts_of(spot(price=Decimal(60_000), quantity=Decimal(250), product=Product(SPOT_KIND, hundredths)))
    assert amounts == (150_000_000_000, 0, 25 * UNITS_PER_BASE // 10)


@given(price=PRICES, quantity=QUANTITIES)
def test_notional_and_rest_are_the_exact_product(price: Decimal, quantity: Decimal) -> None:
    """To 1e-15 USD, and the rest is never more than half a micro-USD."""
    amounts = amounts_of(spot(price=price, quantity=quantity))
    exact = round(Fraction(price) * Fraction(quantity) * 10**15)
    assert amounts.notional_micro_usd * REST_PER_MICRO + amounts.notional_rest == exact
    assert abs(amounts.notional_rest) <= REST_PER_MICRO // 2
    assert amounts.quantity_units == round(Fraction(quantity) * UNITS_PER_BASE)


@pytest.mark.parametrize(
    ("price", "quantity"), [("1e9", "1e18"), ("1000000.01", "1000"), ("1", "1e-15"), ("1e-6", "1e18")]
)
def test_absurd_amounts_are_refused(price: str, quantity: str) -> None:
    """A notional above 1e9 USD, and a base quantity that no column holds."""
    with pytest.raises(BadRecord, match="magnitude"):
        amounts_of(spot(price=Decimal(price), quantity=Decimal(quantity)))


def test_a_full_frame_of_the_largest_trades_sums_within_63_bits() -> None:
    """So a column sum cannot overflow."""
    assert MAX_FRAME_TRADES * MAX_NOTIONAL_MICRO_USD < 2**63


@given(
    price=PRICES | DECIMALS,
    quantity=QUANTITIES | DECIMALS,
    time_us=st.just(MIN_TIME_US) | st.integers(-(2**70), 2**70),
    number=st.integers(-(2**130), 2**130) | st.sampled_from([2**63 - 1, 2**63, 2**64, 2**127, 2**128]),
    symbol=st.sampled_from([BTC, PERPETUAL, INVERSE]),
)
def test_any_trade_is_either_refused_or_encoded(
    price: Decimal, quantity: Decimal, time_us: int, number: int, symbol: str
) -> None:
    """Nothing else may happen in a producer: no other exception, no silent overflow."""
    try:
        trade: Trade = spot(number, price=price, quantity=quantity, time_us=time_us, symbol=symbol)
        data = encode_frame(trade.venue, trade.symbol, [trade], 0)
    except BadRecord:
        return
    assert data
