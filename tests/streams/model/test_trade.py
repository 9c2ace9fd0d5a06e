"""A trade that exists is one that a market can make."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from streams.errors import BadRecord
from streams.model.trade import MAX_TIME_US, MIN_TIME_US
from tests.trades import PERPETUAL, spot


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": Decimal(0)}, "bad_price"),
        ({"price": Decimal(-1)}, "bad_price"),
        ({"price": Decimal("NaN")}, "bad_price"),
        ({"price": Decimal("sNaN")}, "bad_price"),
        ({"price": Decimal("Infinity")}, "bad_price"),
        ({"price": Decimal("1e-400")}, "magnitude"),
        ({"price": Decimal("1e10")}, "magnitude"),
        ({"price": Decimal("1e-30")}, "magnitude"),
        ({"quantity": Decimal(0)}, "bad_quantity"),
        ({"quantity": Decimal(-1)}, "bad_quantity"),
        ({"quantity": Decimal("NaN")}, "bad_quantity"),
        ({"quantity": Decimal("-Infinity")}, "bad_quantity"),
        ({"quantity": Decimal("1e19")}, "magnitude"),
        ({"time_us": MIN_TIME_US - 1}, "bad_time"),
        ({"time_us": MAX_TIME_US}, "bad_time"),
        ({"time_us": -1}, "bad_time"),
        ({"trade_id": -1}, "magnitude"),
        ({"trade_id": 2**63}, "magnitude"),
        ({"venue": ""}, "wrong_type"),
        ({"symbol": "BTC|USD"}, "wrong_type"),
        ({"symbol": "BTC\n/USD"}, "wrong_type"),
        ({"symbol": "B" * 65}, "wrong_type"),
        ({"symbol": PERPETUAL, "trade_id": 2**128}, "magnitude"),
    ],
)
def test_what_no_market_does_is_refused(changes: dict[str, Any], reason: str) -> None:
    """With the reason that becomes the dead letter's."""
    with pytest.raises(BadRecord) as refused:
        spot(**changes)
    assert refused.value.reason == reason


@pytest.mark.parametrize("time_us", [MIN_TIME_US, MAX_TIME_US - 1])
@pytest.mark.parametrize("trade_id", [0, 2**63 - 1])
def test_the_edges_of_what_is_possible_pass(time_us: int, trade_id: int) -> None:
    """Bounds belong to what is admitted."""
    assert spot(trade_id, time_us=time_us)


def test_a_trade_that_is_changed_is_checked_again() -> None:
    """There is no other way to one that no market makes."""
    with pytest.raises(BadRecord, match="bad_time"):
        msgspec.structs.replace(spot(), time_us=5)
