"""Amounts, prices and percentages as people read them: one rule for messages, terminal and log.

The page writes amounts by the same rule (``static/format.js``). Amounts are integer micro-USD. They and multiples are
rounded down, so that no text claims an amount or a severity that was not reached.
"""

from typing import Final

from streams.model.units import PERCENT, UNITS, USD

MICRO: Final = 1_000_000
MAGNITUDES: Final = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3))


def short_usd(micro_usd: int) -> str:
    """Return an amount to three digits: ``2.02 M USD``, ``250 k USD``, ``0 USD``."""
    if micro_usd < 0:
        return f"-{short_usd(-micro_usd)}"
    for unit, size in MAGNITUDES:
        if micro_usd >= size * MICRO:
            return f"{_three_digits(micro_usd, size * MICRO)} {unit} USD"
    return f"{_three_digits(micro_usd, MICRO)} USD" if micro_usd else "0 USD"


def whole_usd(micro_usd: int) -> str:
    """Return an amount in whole dollars with thousands separators: ``2,023,806 USD``."""
    return f"{'-' if micro_usd < 0 else ''}{abs(micro_usd) // MICRO:,} USD"


def in_unit(integer: int, unit: str) -> str:
    """Return an integer of a unit (:mod:`streams.model.units`) as people read it: ``250,000 USD``, ``2.5 %``."""
    if unit == USD.name:
        return whole_usd(integer)
    known = UNITS.get(unit)
    text = f"{known.decimal(integer).normalize():,f}" if known else f"{integer:,}"
    return f"{text} %" if unit == PERCENT.name else text


def percent(value: float) -> str:
    """Return a change in per cent with its sign: ``+1.23 %``."""
    return f"{value:+.2f} %"


def ratio(value: float) -> str:
    """Return a ratio, 1 being 100 %, to a thousandth of a per cent: ``1.230 %``."""
    return f"{value * 100:.3f} %"


def price(value: float) -> str:
    """Return a price with thousands separators and as many decimals as its size calls for."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.2f}"
    if size >= 1:
        return f"{value:,.4f}"
    return f"{value:.6g}"


def multiple(amount: int, threshold: int) -> str:
    """Return how often a threshold fits into an amount of the same unit, to a tenth: ``1.9``."""
    if threshold <= 0:
        return "∞"
    tenths = abs(amount) * 10 // threshold
    return f"{'-' if amount < 0 else ''}{tenths // 10:,}.{tenths % 10}"


def _three_digits(amount: int, unit: int) -> str:
    whole = amount // unit
    decimals = 2 if whole < 10 else 1 if whole < 100 else 0
    part = amount % unit * 10**decimals // unit
    return f"{whole:,}.{part:0{decimals}}" if decimals else f"{whole:,}"
