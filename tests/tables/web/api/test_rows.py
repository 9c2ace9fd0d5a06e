"""What the view says of a market's alerts, its ids, and cells of a spreadsheet."""

import pytest

from streams.settings import SEVERITIES
from tables.market.episodes import Mark
from tables.market.state import Market, Span
from tables.web.api.exports import csv_text
from tables.web.api.rows import Spark, latest_alert_of, shown_ids


def market_at(watermark: int, marks: list[Mark]) -> Market:
    """Return a market with these alerts."""
    market = Market("venue", "BTC/USD", Span(window=300, retention=4200))
    market.open_pane(watermark)
    market.marks["volume"] = marks
    return market


def test_the_latest_episode_is_open_until_its_cooldown_ends() -> None:
    """The mark is the last alert's, with the highest severity of its episode."""
    marks = [Mark(100, 4, 100), Mark(900, 1, 900), Mark(950, 3, 900)]
    during = latest_alert_of(market_at(1249, marks), "volume", SEVERITIES, 300)
    after = latest_alert_of(market_at(1250, marks), "volume", SEVERITIES, 300)
    assert during is not None
    assert after is not None
    assert (during.pane, during.severity, during.episode, during.open) == (950, "HIGH", 900, True)
    assert not after.open


def test_no_alert_no_mark() -> None:
    """A market that never alerted has none."""
    assert latest_alert_of(market_at(10, []), "volume", SEVERITIES, 300) is None


def test_ids_are_shown_as_the_venue_writes_them() -> None:
    """Integers as ranges, uids with dashes."""
    assert shown_ids([3, 5, 9, 9]) == [[3, 5], [9, 9]]
    assert shown_ids([bytes(range(16))]) == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]


@pytest.mark.parametrize("symbol", ["=1+1", "@x", "+x", "-x"])
async def test_a_symbol_is_no_formula(symbol: str) -> None:
    """A spreadsheet must not compute what a feed calls a market."""
    text = await csv_text(["symbol", "end"], [Spark("v", symbol, 5, 8, [])])
    assert text == f"symbol,end\r\n'{symbol},5\r\n"
