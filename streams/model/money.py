"""Amounts as people read them."""

from decimal import ROUND_FLOOR, Decimal

from streams.model.units import USD


def short_usd(micro_usd: int) -> str:
    """Return an amount to three digits, rounded down: ``2.02 M USD``."""
    amount = USD.decimal(micro_usd)
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if amount >= size:
            return f"{cut_down(amount / size, '0.01'):,} {unit} USD"
    return f"{cut_down(amount, '0.01'):,} USD"


def cut_down(value: Decimal, step: str) -> Decimal:
    """Return a value rounded down to a multiple of ``step``."""
    return value.quantize(Decimal(step), rounding=ROUND_FLOOR)
