"""How grave an alert is: the four severities, and what thresholds and multiples their steps may have. Pure."""

from typing import Final

SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL")

# Thresholds in USD: from the smallest amount that is counted to more than is ever traded. Beyond them steps would be 0,
# or overflow where they are multiplied.
LEAST_THRESHOLD: Final = 1e-6
MOST_THRESHOLD: Final = 1e15
MOST_MULTIPLE: Final = 1e6


def check_multiples(value: tuple[float, ...]) -> tuple[float, ...]:
    """Return the multiples of a threshold, one for each severity. Raises :class:`ValueError` for any others."""
    if len(value) != len(SEVERITIES) or value[0] < 1 or value[-1] > MOST_MULTIPLE or list(value) != sorted(set(value)):
        raise ValueError("must be four rising numbers from 1 to 1000000, for LOW, MEDIUM, HIGH and CRITICAL")
    return value
