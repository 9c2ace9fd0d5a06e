"""Fixed-point amounts: what a trade is worth in USD and how much was traded, as integers that add up exactly.

Sources: KRAKEN's contract specifications for notional by product type. Every trade is rounded once, half to even:

* ``notional_micro_usd``: price x quantity, or contracts of 1 USD for inverse futures, in 1e-6 USD;
* ``notional_rest``: what that rounding left, in 1e-15 USD, so that VWAP is computed from the exact product;
* ``quantity_units``: base quantity in 1e-14, for inverse futures contracts / price.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple

from streams.errors import BadRecord
from streams.model.trade import Trade

MICRO_PER_USD: Final = 10**6
REST_PER_MICRO: Final = 10**9
UNITS_PER_BASE: Final = 10**14

INVERSE_PREFIXES: Final = ("PI_", "FI_")
LINEAR_PREFIXES: Final = ("PF_", "FF_")
FUTURES_PREFIXES: Final = INVERSE_PREFIXES + LINEAR_PREFIXES

MAX_NAME: Final = 64

# The cheapest tokens trade above 1e-12. Between these two a change of price in percent is always a finite double.
MIN_PRICE: Final = Decimal("1e-18")
MAX_PRICE: Final = Decimal(10) ** 9
MAX_QUANTITY: Final = Decimal(10) ** 18
# A frame of 5000 such trades still sums within 63 bits, so a column sum cannot overflow.
MAX_NOTIONAL_MICRO_USD: Final = 10**9 * MICRO_PER_USD

MIN_TIME_US: Final = 1_230_768_000_000_000  # 2009-01-01: no trade is older than Bitcoin
MAX_TIME_US: Final = 4_102_444_800_000_000  # 2100-01-01

MAX_UNITS: Final = 10**18 * UNITS_PER_BASE

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


@lru_cache(maxsize=100_000)
def is_market_name(name: str) -> bool:
    """Whether a table's key and a database's column can hold this as a venue or a symbol."""
    return 1 <= len(name) <= MAX_NAME and "|" not in name and name.isprintable()


def _scaled(value: Decimal, digits: int) -> int:
    return int(_EXACT.to_integral_value(_EXACT.scaleb(value, digits)))


def check_trade(trade: Trade) -> None:
    """Refuse what no market does. Raises :class:`BadRecord` with the reason."""
    price, quantity = trade.price, trade.quantity
    if not price.is_finite() or price <= 0 or float(price) == 0:
        raise BadRecord("bad_price", f"price must be a positive number, not {price:.20}")
    if not quantity.is_finite() or quantity <= 0:
        raise BadRecord("bad_quantity", f"quantity must be a positive number, not {quantity:.20}")
    if not MIN_PRICE <= price <= MAX_PRICE or quantity > MAX_QUANTITY:
        raise BadRecord("magnitude", f"price {price:.6E} or quantity {quantity:.6E} is beyond any market")
    if not MIN_TIME_US <= trade.time_us < MAX_TIME_US:
        raise BadRecord("bad_time", f"time {trade.time_us} us is outside 2009 to 2100")
    if not (is_market_name(trade.venue) and is_market_name(trade.symbol)):
        raise BadRecord("wrong_type", f"venue and symbol must be 1 to {MAX_NAME} printable characters other than '|'")
    bits = 128 if is_futures(trade.symbol) else 63
    if not 0 <= trade.trade_id < 1 << bits:
        raise BadRecord("wrong_type", f"trade id {trade.trade_id} is outside 0 to 2^{bits}")


def amounts_of(trade: Trade) -> Amounts:
    """Return the amounts of a checked trade. Raises :class:`BadRecord` where they are absurd."""
    price, quantity = trade.price, trade.quantity
    try:
        if is_inverse(trade.symbol):
            worth = quantity
            units = _scaled(_EXACT.divide(quantity, price), 14)
        else:
            worth = _EXACT.multiply(price, quantity)
            units = _scaled(quantity, 14)
        fine = _scaled(worth, 15)
    except InvalidOperation:
        raise BadRecord("magnitude", f"price {price:.6E} x quantity {quantity:.6E} cannot be computed") from None
    micro, rest = divmod(fine, REST_PER_MICRO)
    if rest * 2 >= REST_PER_MICRO:
        micro, rest = _half_even(worth, micro, rest)
    if micro > MAX_NOTIONAL_MICRO_USD:
        raise BadRecord("magnitude", f"a notional of {worth:.6E} USD in one trade is beyond any market")
    if not 0 < units < MAX_UNITS:
        raise BadRecord("magnitude", f"a base quantity of {units}e-14 cannot be kept")
    return Amounts(micro, rest, units)


def _half_even(worth: Decimal, micro: int, rest: int) -> tuple[int, int]:
    rounded = _scaled(worth, 6)
    return rounded, rest - (rounded - micro) * REST_PER_MICRO
