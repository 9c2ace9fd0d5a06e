"""Counts and times in plain words, for lines that people read. Pure."""

from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 trade``, ``1,234 trades``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def time_span(seconds: float) -> str:
    """Return how long something took, in its two largest units: ``12.3 s``, ``1 min 3 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 59.95 else "1 min"
    left = round(seconds)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)
