"""Which markets a worker keeps of those that others make up."""

import pytest

from streams.errors import BadRecord
from tables.market.admission import Admission

LISTED = ("kraken_spot", "BTC/USD")


def test_listed_markets_are_kept_whatever_else_comes() -> None:
    """They take nothing of the budget, nor of the rate."""
    admission = Admission([LISTED], most=1, new_per_minute=1, only_listed=True)
    for _ in range(3):
        admission.check(0, *LISTED, held=99)
        admission.check_new(0, *LISTED, at_seconds=0)
    assert admission.may_load(*LISTED, held=99)
    assert not admission.may_load("other", "BTC/USD", held=0)


@pytest.mark.parametrize("back", [0.0, 3600.0])
def test_room_for_new_markets_comes_with_time_and_is_bounded(back: float) -> None:
    """In each partition by itself. Time that goes back gives no more than time that stands."""
    admission = Admission(new_per_minute=6)
    for n in range(6):
        admission.check_new(0, "v", f"{n}/USD", at_seconds=10_000 - back * (n % 2))
    with pytest.raises(BadRecord, match="has met 6 new markets"):
        admission.check_new(0, "v", "X/USD", at_seconds=10_000)
    admission.check_new(1, "v", "X/USD", at_seconds=10_000)
    admission.check_new(0, "v", "X/USD", at_seconds=10_010)
    for n in range(6):
        admission.check_new(0, "v", f"{n}/USD", at_seconds=90_000)
    with pytest.raises(BadRecord):
        admission.check_new(0, "v", "Y/USD", at_seconds=90_000)
    admission.forget([0])
    admission.check_new(0, "v", "Y/USD", at_seconds=90_000)
