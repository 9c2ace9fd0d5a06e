"""Figures as the pages write them."""


def short_usd(value: float) -> str:
    """Three digits and a unit, as in the overview."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9995:
            return _three(value / unit) + name
    return "0" if value == 0 else _three(value)


def _three(value: float) -> str:
    return f"{value:.{0 if value >= 99.5 else 1 if value >= 9.95 else 2}f}"


def usd(value: float) -> str:
    """Dollars and cents."""
    return f"${value:,.2f}"


def percent(value: float, digits: int = 2) -> str:
    """A percentage with its sign, a real minus."""
    text = f"{abs(value):.{digits}f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text}%"
