"""What the view says of a market's ids, and cells of a spreadsheet."""

import msgspec
import pytest

from streams.model.figures import PANE_FIGURES
from tables.market.values import FIGURE_NAMES, figure_values
from tables.web.api.exports import csv_text
from tables.web.api.rows import PaneRow, Spark, pane_rows, shown_ids
from tests.trades import NOON
from tests.worker import MemoryWorker


def test_ids_are_shown_as_ranges_or_as_uuids() -> None:
    """Those of 8 bytes as ranges of integers; those of 16 as UUIDs, whatever the venue writes."""
    assert shown_ids([3, 5, 9, 9]) == [[3, 5], [9, 9]]
    assert shown_ids([bytes(range(16))]) == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]


def test_a_pane_has_every_figure_that_a_single_pane_can_have() -> None:
    """The same as a window of that pane alone, and none of how panes follow each other."""
    market = MemoryWorker().trade("BTC/USD", 0, 100.25)
    (row,) = pane_rows(market, NOON, NOON)
    window = dict(zip(FIGURE_NAMES, figure_values(market.figures(NOON, 1)), strict=True))
    names = [figure.name for figure in PANE_FIGURES]
    assert {name: getattr(row, name) for name in names} == {name: window[name] for name in names}
    assert set(FIGURE_NAMES) - set(names) == {"realized_volatility"}


def test_a_pane_of_a_worker_of_the_first_release_is_read() -> None:
    """It has less figures; a later one's has more."""
    (row,) = pane_rows(MemoryWorker().trade("BTC/USD"), NOON, NOON)
    fields = msgspec.to_builtins(row)
    del fields["liquidation_volume_usd"], fields["price_change_pct"]
    read = msgspec.convert(fields | {"sales": 3}, PaneRow)
    assert read == msgspec.structs.replace(row, liquidation_volume_usd=None, price_change_pct=None)


@pytest.mark.parametrize(
    "symbol",
    [
        *("=1+1", "@x", "+x", "-x"),
        # Full-width, small and raised signs, and what is not seen before a sign.
        *("\uff1d1+1", "\uff20x", "\uff0bx", "\uff0dx", "\ufe62x", "\ufe66x", "\u207ax"),
        *(" =1", "\u200b=1", "\ufeff=1", "\u3000\uff1d1", "\x00=1"),
    ],
)
async def test_a_symbol_is_no_formula(symbol: str) -> None:
    """A spreadsheet must not compute what a feed calls a market."""
    text = await csv_text(["symbol", "end"], [Spark("v", symbol, 5, 8, [])])
    assert text == f"symbol,end\r\n'{symbol},5\r\n"


@pytest.mark.parametrize("symbol", ["\t1", "\r=1", "\n=1"])
async def test_nor_is_one_that_begins_with_a_tab_or_a_line_end(symbol: str) -> None:
    """Which some spreadsheets pass over."""
    assert f"'{symbol}" in await csv_text(["symbol"], [Spark("v", symbol, 5, 8, [])])


@pytest.mark.parametrize("symbol", ["BTC/USD", "PF_XBTUSD", "1INCH/USD", "a=b", "", "\u00e9t\u00e9"])
async def test_a_symbol_that_is_none_stays_as_it_is(symbol: str) -> None:
    """Programs read the file too."""
    assert await csv_text(["symbol", "end"], [Spark("v", symbol, 5, 8, [])]) == f"symbol,end\r\n{symbol},5\r\n"
