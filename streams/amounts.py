"""Fixed-point amounts: what a trade is worth in USD and how much was traded, as integers that add up exactly.

Sources: KRAKEN's contract specifications for notional by product type. Every trade is rounded once, half to even:

* ``notional_micro_usd``: price x quantity, or contracts of 1 USD for inverse futures, in 1e-6 USD;
* ``notional_rest``: what that rounding left, in 1e-15 USD, so that VWAP is computed from the exact product;
* ``quantity_units``: base quantity in 1e-14, for inverse futures contracts / price.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final, NamedTuple

from streams.errors import BadRecord
from streams.records import Trade

MICRO_PER_USD: Final = 10**6
REST_PER_MICRO: Final = 10**9
UNITS_PER_BASE: Final = 10**14

INVERSE_PREFIXES: Final = ("PI_", "FI_")
LINEAR_PREFIXES: Final = ("PF_", "FF_")
FUTURES_PREFIXES: Final = INVERSE_PREFIXES + LINEAR_PREFIXES

MAX_PRICE: Final = Decimal(10) ** 9
MAX_QUANTITY: Final = Decimal(10) ** 18
# A frame of 5000 such trades still sums within 63 bits, so a column sum cannot overflow.
MAX_NOTIONAL_MICRO_USD: Final = 10**9 * MICRO_PER_USD

MIN_TIME_US: Final = 1_230_768_000_000_000  # 2009-01-01: no trade is older than Bitcoin
MAX_TIME_US: Final = 4_102_444_800_000_000  # 2100-01-01

# Wide enough for the exact product of any price and quantity admitted above.
_EXACT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN)


class Amounts(NamedTuple):
    """A trade's fixed-point amounts; see the module's docstring for units."""

    notional_micro_usd: int
    notional_rest: int
    quantity_units: int


def is_futures(symbol: str) -> bool:
    """Whether the symbol is a futures product, whose trades carry liquidation labels."""
    return symbol.startswith(FUTURES_PREFIXES)


def is_inverse(symbol: str) -> bool:
    """Whether quantity counts contracts of 1 USD."""
    return symbol.startswith(INVERSE_PREFIXES)


def _scaled(value: Decimal, digits: int) -> int:
    return int(_EXACT.to_integral_value(_EXACT.scaleb(value, digits)))


def check_trade(trade: Trade) -> None:
    """Refuse what no market does. Raises :class:`BadRecord` with the reason."""
    price, quantity = trade.price, trade.quantity
    if not price.is_finite() or price <= 0 or float(price) == 0:
        raise BadRecord("bad_price", f"price must be a positive number, not {price:.20}")
    if not quantity.is_finite() or quantity <= 0:
        raise BadRecord("bad_quantity", f"quantity must be a positive number, not {quantity:.20}")
    if price > MAX_PRICE or quantity > MAX_QUANTITY:
        raise BadRecord("magnitude", f"price {price:.6E} or quantity {quantity:.6E} is beyond any market")
    if not MIN_TIME_US <= trade.time_us < MAX_TIME_US:
        raise BadRecord("bad_time", f"time {trade.time_us} us is outside 2009 to 2100")
    if not 0 <= trade.trade_id < 2**128:
        raise BadRecord("wrong_type", f"trade id {trade.trade_id} is outside 0 to 2^128")


def amounts_of(trade: Trade) -> Amounts:
    """Return the amounts of a checked trade. Raises :class:`BadRecord` where they are absurd."""
    try:
        if is_inverse(trade.symbol):
            worth = trade.quantity
            base = _EXACT.divide(trade.quantity, trade.price)
        else:
            worth = _EXACT.multiply(trade.price, trade.quantity)
            base = trade.quantity
        micro = _scaled(worth, 6)
        if micro > MAX_NOTIONAL_MICRO_USD:
            raise BadRecord("magnitude", f"a notional of {worth:.6E} USD in one trade is beyond any market")
        amounts = Amounts(micro, _scaled(worth, 15) - micro * REST_PER_MICRO, _scaled(base, 14))
    except InvalidOperation:
        raise BadRecord(
            "magnitude", f"price {trade.price:.6E} x quantity {trade.quantity:.6E} cannot be computed"
        ) from None
    if amounts.quantity_units == 0 or amounts.quantity_units >= 10**18 * UNITS_PER_BASE:
        raise BadRecord("magnitude", f"a base quantity of {base:.6E} cannot be kept")
    return amounts
