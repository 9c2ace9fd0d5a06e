"""What the view says of a market's ids, and cells of a spreadsheet."""

import pytest

from tables.web.api.exports import csv_text
from tables.web.api.rows import Spark, shown_ids


def test_ids_are_shown_as_the_venue_writes_them() -> None:
    """Integers as ranges, uids with dashes."""
    assert shown_ids([3, 5, 9, 9]) == [[3, 5], [9, 9]]
    assert shown_ids([bytes(range(16))]) == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]


@pytest.mark.parametrize("symbol", ["=1+1", "@x", "+x", "-x"])
async def test_a_symbol_is_no_formula(symbol: str) -> None:
    """A spreadsheet must not compute what a feed calls a market."""
    text = await csv_text(["symbol", "end"], [Spark("v", symbol, 5, 8, [])])
    assert text == f"symbol,end\r\n'{symbol},5\r\n"
