"""A market's row on the overview, cell by cell."""

from typing import Any

from playwright.sync_api import Page

from tests.browser.numbers import percent, short_usd
from tests.oracle import Oracle


def assert_row(page: Page, oracle: Oracle, venue: str, symbol: str) -> None:
    """Hold each cell of a market's row against the oracle's figures, at the market's own watermark."""
    row = page.locator(f'.row[data-symbol="{symbol}"]')
    row.wait_for()
    cells = [cell.inner_text().split("\n") for cell in row.locator("[role=gridcell]").all()]
    end = oracle.watermark(venue, symbol)
    five = oracle.window(venue, symbol, end, 300)
    assert five is not None
    volumes = [oracle.window(venue, symbol, end, seconds) for seconds in (60, 300, 900, 3600)]
    assert cells[0] == [symbol, venue.replace("_", " ")]
    assert float(cells[1][0].replace(",", "")) == five["last_price"]
    assert cells[3] == [percent(five["price_change_pct"])]
    assert [cell[0] for cell in cells[4:8]] == [
        short_usd(volume["total_volume_micro_usd"] / 1e6) for volume in volumes if volume is not None
    ]
    assert cells[8][1] == percent((five["last_price"] / five["vwap"] - 1) * 100)
    assert cells[9] == [f"{five['realized_volatility'] * 100:.3f}%"]
    bought = five["buy_volume_micro_usd"] / (five["buy_volume_micro_usd"] + five["sell_volume_micro_usd"])
    shown_bought, shown_sold = (int(part) for part in cells[10][-1].split("/"))
    assert abs(shown_bought - bought * 100) <= 0.5
    assert shown_bought + shown_sold == 100
    minute = oracle.window(venue, symbol, end, 60)
    rate = 0.0 if minute is None else minute["count"] / 60
    assert abs(float(cells[12][0]) - rate) <= (0.05 if rate < 10 else 0.5)
    assert row.locator(".spark polyline").get_attribute("points"), "a sparkline"
    amount, threshold = of_threshold(five, symbol)
    width = row.locator(".reach .bar i").evaluate("bar => bar.style.width")
    assert abs(float(width.removesuffix("%")) - min(100, amount / threshold * 100)) <= 0.06
    assert cells[13][0] == rounded_down(amount, threshold)
    assert float(cells[14][0].rstrip("smh")) >= 0
    longs, shorts = five["liquidation_long_micro_usd"] / 1e6, five["liquidation_short_micro_usd"] / 1e6
    shown = [part for part in cells[11] if part]
    assert shown == (
        [f"{side} {short_usd(amount)}" for side, amount in (("L", longs), ("S", shorts)) if amount] or ["\N{EN DASH}"]
    )


def of_threshold(figures: dict[str, Any], symbol: str) -> tuple[int, int]:
    """Return what a market's rule measures and its threshold, in micro-USD."""
    if "/" in symbol:
        return figures["total_volume_micro_usd"], 1_000_000 * 10**6
    return figures["liquidation_volume_micro_usd"], 250_000 * 10**6


def rounded_down(amount: int, threshold: int) -> str:
    """Return how much of a threshold is reached as the page shows it, never more than there is."""
    if amount >= 2 * threshold:
        tenths = amount * 10 // threshold
        return f"{tenths // 10}.{tenths % 10}\N{MULTIPLICATION SIGN}"
    if amount * 10 < threshold:
        per_mille = amount * 1000 // threshold
        return f"{per_mille // 10}.{per_mille % 10}%"
    return f"{amount * 100 // threshold}%"
