"""Amounts read the same everywhere, and never as more than they are."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.money import MAGNITUDES, MICRO, multiple, short_usd, whole_usd
from tests.money_cases import AMOUNTS, MULTIPLES


@pytest.mark.parametrize(("micro_usd", "text"), AMOUNTS)
def test_an_amount_is_read_at_a_glance(micro_usd: int, text: str) -> None:
    """Three digits and a unit."""
    assert short_usd(micro_usd) == text


@given(st.integers(min_value=0, max_value=10**24))
def test_no_text_claims_more_than_the_amount(micro_usd: int) -> None:
    """What is read back is at most the amount, and less by no more than one in the third digit."""
    digits, *unit, _ = short_usd(micro_usd).split()
    shown = Decimal(digits.replace(",", "")) * dict(MAGNITUDES).get("".join(unit), 1) * MICRO
    assert shown <= micro_usd
    assert micro_usd - shown <= max(Decimal(micro_usd) / 100, Decimal(10_000))


@pytest.mark.parametrize(("amount", "threshold", "text"), MULTIPLES)
def test_a_multiple_never_claims_a_severity_that_was_not_reached(amount: int, threshold: int, text: str) -> None:
    """A micro-USD below twice the threshold is 1.9 times."""
    assert multiple(amount, threshold) == text


def test_a_threshold_of_nothing_is_reached_without_end() -> None:
    """An alert of a broken record is still a message."""
    assert multiple(5, 0) == "∞"


def test_whole_dollars_are_rounded_down_too() -> None:
    """A message that shows a threshold and a volume just below it shows two figures."""
    assert whole_usd(999_999_999_999) == "999,999 USD"
    assert whole_usd(2_023_806_241_207) == "2,023,806 USD"


@pytest.mark.parametrize(
    ("micro_usd", "text"),
    [(-1_500_000, "-1.50 USD"), (-2_023_806_241_207, "-2.02 M USD")],
)
def test_a_negative_amount_has_the_digits_of_its_size(micro_usd: int, text: str) -> None:
    """Rules of others may measure what falls below 0."""
    assert short_usd(micro_usd) == text
    assert whole_usd(-1_500_000) == "-1 USD"
    assert multiple(-5, 10) == "-0.5"
