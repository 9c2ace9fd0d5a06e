"""Counts and times as people say them."""

import pytest

from streams.words import counted, time_span


@pytest.mark.parametrize(("number", "text"), [(0, "0 trades"), (1, "1 trade"), (2, "2 trades"), (1234, "1,234 trades")])
def test_one_is_one(number: int, text: str) -> None:
    """And everything else is many."""
    assert counted(number, "trade") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (63.2, "1 min 3 s"),
        (3599.9, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (86_400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_a_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    """Tenths only below a minute."""
    assert time_span(seconds) == text
