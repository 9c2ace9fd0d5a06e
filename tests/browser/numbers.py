"""Figures as the pages write them."""

from decimal import ROUND_DOWN, Decimal


def short_usd(value: float) -> str:
    """Three digits and a unit, rounded down, as in the overview."""
    exact = Decimal(f"{value:.6f}")
    for unit, name in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if exact >= unit:
            return _three(exact / unit) + name
    return "0" if exact == 0 else _three(exact)


def _three(value: Decimal) -> str:
    step = "1" if value >= 100 else "0.1" if value >= 10 else "0.01"
    return str(value.quantize(Decimal(step), rounding=ROUND_DOWN))


def usd(value: float) -> str:
    """Dollars and cents."""
    return f"${value:,.2f}"


def percent(value: float, digits: int = 2) -> str:
    """A percentage with its sign, a real minus."""
    text = f"{abs(value):.{digits}f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text}%"
