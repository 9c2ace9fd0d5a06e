"""A window's figures: exact sums, doubles nearest to the exact quotient."""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.amounts import UNITS_PER_BASE, amounts_of
from streams.model.figures import FIGURES, vwap_of
from streams.model.trade import Side, Trade
from tables.market.panes import Pane
from tables.market.windows import WindowFigures
from tests.tables.market.reference import figures, realized_volatility
from tests.trades import NOON, spot

PRICES = st.decimals(Decimal("0.001"), Decimal(90_000), places=3)
TRADES = st.lists(
    st.builds(
        lambda number, second, price, quantity, side: spot(number, second, price=price, quantity=quantity, side=side),
        st.integers(0, 10**6),
        st.integers(0, 9),
        PRICES,
        st.decimals(Decimal("0.001"), Decimal(500), places=8),
        st.sampled_from(Side),
    ),
    unique_by=lambda trade: trade.trade_id,
    max_size=25,
)


def panes_of(trades: list[Trade]) -> list[Pane]:
    """Return the panes of ten seconds from noon; empty ones too."""
    panes = [Pane([]) for _ in range(10)]
    for trade in trades:
        amounts = amounts_of(trade)
        whole, fraction = divmod(amounts.quantity_units, UNITS_PER_BASE)
        panes[trade.time_us // 10**6 - NOON].add_trade(
            trade.trade_id, trade.time_us, float(trade.price), amounts.notional_micro_usd, amounts.notional_rest,
            whole, fraction, trade.side, False,
        )  # fmt: skip
    return panes


@given(TRADES)
def test_figures_are_those_of_the_trades(trades: list[Trade]) -> None:
    """Recomputed from the list, with fractions."""
    found = figures(panes_of(trades))
    if not trades:
        assert found == figures([])
        return
    ordered = sorted(trades, key=lambda trade: (trade.time_us, trade.trade_id))
    notionals = [amounts_of(trade).notional_micro_usd for trade in trades]
    exact_vwap = sum(Fraction(trade.price) * Fraction(trade.quantity) for trade in trades) / sum(
        Fraction(trade.quantity) for trade in trades
    )
    first, last = float(ordered[0].price), float(ordered[-1].price)
    assert (found.count, found.total_volume_micro_usd) == (len(trades), sum(notionals))
    assert found.largest_trade_micro_usd == max(notionals)
    assert found.vwap == float(exact_vwap)
    assert found.price_change_pct == (last - first) / first * 100
    assert (found.first_price, found.last_price) == (first, last)
    prices = [float(trade.price) for trade in trades]
    assert (found.high, found.low) == (max(prices), min(prices))
    closes = {trade.time_us // 10**6: float(trade.price) for trade in ordered}
    prices = [closes[second] for second in sorted(closes)]
    returns = [math.log(after / before) for before, after in pairwise(prices)]
    assert found.realized_volatility == pytest.approx(math.hypot(*returns), rel=1e-12, abs=1e-300)


@given(TRADES)
def test_empty_panes_may_be_left_out(trades: list[Trade]) -> None:
    """Volatility is taken over consecutive non-empty panes."""
    panes = panes_of(trades)
    assert figures(panes) == figures(pane for pane in panes if pane.count)


def test_an_empty_window_is_all_zero() -> None:
    """And divides by nothing."""
    assert figures([]) == figures([Pane([5, 7])]) == WindowFigures(*[0] * len(FIGURES))


def test_vwap_does_not_suffer_from_rounded_notionals() -> None:
    """A thousand trades worth half a micro-USD each: their notionals round to nothing, their VWAP is their price."""
    price, quantity = Decimal("0.0000005"), Decimal(1)
    amounts = amounts_of(spot(price=price, quantity=quantity))
    pane = Pane([])
    for number in range(1000):
        pane.add_trade(number, 1, float(price), *amounts[:2], 1, 0, 1, False)
    assert pane.notional == 0
    assert vwap_of(pane) == float(price)


def test_volatility_is_over_panes_not_trades() -> None:
    """Two trades that bounce inside one second leave no trace: only the last price of a second counts."""
    bounce = [spot(1, 0.1, price=Decimal(100)), spot(2, 0.2, price=Decimal(110)), spot(3, 0.3, price=Decimal(100))]
    assert figures(panes_of(bounce)).realized_volatility == 0
    moved = [*bounce, spot(4, 5, price=Decimal(110))]
    assert figures(panes_of(moved)).realized_volatility == pytest.approx(math.log(1.1))


@pytest.mark.parametrize(("prices", "expected"), [([], 0), ([5.0], 0), ([5.0, 5.0], 0), ([1.0, math.e, 1.0], 2**0.5)])
def test_volatility_of_few_prices(prices: list[float], expected: float) -> None:
    """None without at least two."""
    assert realized_volatility(prices) == pytest.approx(expected)


def test_an_order_book_with_one_price_has_no_change() -> None:
    """First and last are the same trade."""
    found = figures(panes_of([spot(1, 3)]))
    assert (found.price_change_pct, found.first_price, found.last_price) == (0, 100, 100)
