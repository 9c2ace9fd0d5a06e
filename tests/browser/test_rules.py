"""Pages of a worker with two rules a market, in two units: the second is shown wherever the first is."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from playwright.sync_api import Browser

from agents.alerts.history import AlertRow
from agents.rules.book import known_rules
from streams.model.trade import Side
from tables.market.episodes import Mark
from tables.market.values import FIGURE_NAMES
from tables.web.worker import AlertRecord
from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, Open
from tests.browser.memory_view import serving
from tests.made_up_rules import SellShare
from tests.trades import NOON
from tests.worker import MemoryWorker, NoAlerts

SYMBOL = "BTC/USD"
LAST = int(time.time())
MINUS = "\N{MINUS SIGN}"
MARKET = f"/market?venue=kraken_spot&symbol={SYMBOL}"


def alert(
    rule: str, severity: str, unit: str, measured: float, threshold: float, what: str, sentence: str | None
) -> AlertRow:
    """Return the row of an alert of the market below."""
    at = datetime.fromtimestamp(LAST, UTC)
    fields = {
        "rule": rule, "venue": "kraken_spot", "symbol": SYMBOL, "pane": LAST, "timestamp": at,
        "alert_severity": severity, "episode": LAST, "window_seconds": 300, "window_start": LAST - 299,
        "window_end": LAST + 1, "threshold_usd": threshold if unit == "usd" else None, "source_partition": 0,
        "source_offset": 3, "revision": 1, "recorded_at": at, "updated_at": at, "delivery": "sent",
        "possible_duplicate": False, "delivery_attempts": 1, "unit": unit, "threshold": threshold,
        "measured": measured, "severity_step": threshold, "cooldown_seconds": 300, "raised_offset": 2,
        "retracted": rule == "spread", "what": what, "note": "A proxy." if rule == "volume" else "",
        "sentence": sentence,
        **dict.fromkeys(FIGURE_NAMES, 0), "count": 3, "total_volume_usd": 1_300_000.0, "price_change_pct": -4.3219,
    }  # fmt: skip
    return msgspec.convert(fields, AlertRow)


def told(what: str, times: str, end: str = "") -> tuple[str, str]:
    """Return what happened, and the worker's sentence of it."""
    return what, f"{what} in 5 min, {times}\N{MULTIPLICATION SIGN} the threshold{end}"


class Alerts(NoAlerts):
    """One alert of each rule, and one of a rule that is in force no more. One row has no sentence."""

    def __init__(self) -> None:
        self._rows = [
            alert("volume", "LOW", "usd", 1_300_000.0, 1e6, "1.30 M USD traded", None),
            alert("price_move", "MEDIUM", "percent", 4.3219, 2.0, *told("price moved -4.32 %", "2.2")),
            alert("spread", "HIGH", "count", 12.0, 10.0, *told("spread: 12 count", "1.2", " (retracted)")),
        ]

    async def find(self, *, rules: Sequence[str] = (), **_: object) -> list[AlertRecord]:
        return [row for row in self._rows if not rules or row.rule in rules]

    async def latest(self, limit: int) -> list[AlertRecord]:  # noqa: ARG002
        return [*self._rows]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Give the port of a worker whose market has moved further than its volume has come."""
    worker = MemoryWorker(price_move_pct=2, further=[SellShare])
    worker.alerts = Alerts()
    for ago, price in ((20, 100.0), (10, 97.0), (0, 95.6781)):
        market = worker.trade(SYMBOL, LAST - ago - NOON, price)
    market.marks["price_move"] = [Mark(LAST, 2, LAST)]
    worker.trade("ETH/USD", LAST - NOON, 10.0)
    worker.trade("XRP/USD", LAST - 10 - NOON, 100.0)
    worker.trade("XRP/USD", LAST - NOON, 101.0, side=Side.SELL).marks["price_move"] = [Mark(LAST, 2, LAST)]
    with serving(worker) as (port,):
        yield port


def test_the_overview_shows_the_rule_that_is_furthest_along(port: int, visit: Open) -> None:
    """Its share and the highest open episode; pointing at it names every rule with what it measured."""
    page = visit(port).page
    cell = page.locator(f'.row[data-symbol="{SYMBOL}"] .reach')
    cell.wait_for()
    assert cell.inner_text().split() == ["2.1\N{MULTIPLICATION SIGN}", "MEDIUM"]
    assert cell.get_attribute("title") == (
        "price move: 4.32% of 2.00% in 5m\ntraded volume: $292 of $1.00M in 5m\nshare of sales: 0.0000% of 50.00% in 5m"
    )
    quiet = page.locator('.row[data-symbol="ETH/USD"] .reach')
    assert quiet.inner_text().split() == ["0.0%"]
    page.get_by_label("open episodes only").check()
    page.wait_for_function("() => document.querySelectorAll('.body .row:not([hidden])').length === 1")


def test_an_alert_that_was_taken_back_is_not_shown_as_open(port: int, visit: Open) -> None:
    """Its market is quiet, and says what became of the alert; in lists its severity is struck through."""
    page = visit(port).page
    cell = page.locator('.row[data-symbol="XRP/USD"] .reach')
    cell.wait_for()
    assert "MEDIUM" not in cell.inner_text()
    assert "price move: 1.00% of 2.00% in 5m, alert retracted" in (cell.get_attribute("title") or "")
    struck = "() => [...document.querySelectorAll('.badge.retracted')].map((one) => one.parentElement.innerText)"
    page.wait_for_function(f"({struck})().length === 1")
    assert "spread: 12 count" in page.evaluate(struck)[0]
    page = visit(port, "/market?venue=kraken_spot&symbol=XRP/USD").page
    page.locator("[data-rule=price_move] dd").wait_for()
    assert page.locator("#episode").inner_text() == ""
    shown = page.locator("[data-rule=price_move] dd").inner_text()
    assert shown == "1.00% of 2.00% in 5m (50.0%); alert retracted"


def test_a_rule_that_measures_no_figure_has_its_number_and_no_chart(port: int, visit: Open) -> None:
    """The worker says what it measured; pages have no panes of that."""
    page = visit(port, "/market?venue=kraken_spot&symbol=XRP/USD").page
    page.locator("#rules [data-rule=price_move] canvas").wait_for()
    assert page.locator("[data-rule=sell_share] dd").inner_text() == "50.24% of 50.00% in 5m (100.4%)"
    assert page.locator("#rules [data-rule=sell_share]").count() == 0
    page = visit(port).page
    cell = page.locator('.row[data-symbol="XRP/USD"] .reach')
    cell.wait_for()
    assert cell.inner_text().split() == ["100%"]


def test_a_figure_that_the_page_does_not_know_is_listed(port: int, visit: Open) -> None:
    """By the label, unit and meaning that the worker names."""
    page = visit(port, MARKET).page
    page.evaluate(
        """async () => {
          const { feed } = await import("/static/feed.js");
          feed.hello.columns.push("made_up_usd");
          feed.hello.figures.push({ name: "made_up_usd", label: "made up", meaning: "of a test", unit: "usd" });
          for (const row of feed.rows.values()) row.windows = row.windows.map((values) => [...values, 12.5]);
          feed.dispatchEvent(new CustomEvent("rows", { detail: {} }));
        }"""
    )
    fact = page.locator("[data-figure=made_up_usd]")
    fact.wait_for()
    assert (fact.inner_text(), fact.get_attribute("title")) == ("Made up\n$12.50", "of a test")


def test_figures_of_panes_make_those_of_windows(port: int, visit: Open) -> None:
    """As the worker says how: sums, extremes and ends, of panes with a trade."""
    made = visit(port).page.evaluate(
        """async () => {
          const { columnsOf, isDrawn } = await import("/static/series.js");
          const { feed } = await import("/static/feed.js");
          const figures = feed.hello.figures.filter(isDrawn);
          const panes = [[0, 1, 10], [1, 0, 0], [2, 2, 30], [3, 1, 20]].map(([pane, count, price]) => ({
            pane, count, ...Object.fromEntries(figures.map(({ name }) => [name, count * price])),
            first_price: price, last_price: price, high: price, low: price, vwap: price,
          }));
          const span = { start: 0, end: 4, window: 2, ruleWindow: 3, figures };
          const { measured } = columnsOf(panes, span);
          return Object.fromEntries(figures.map(({ name }) => [name, measured[name][3]]));
        }"""
    )
    assert made.pop("price_change_pct") == pytest.approx(100 / 3)
    assert made == {
        **dict.fromkeys(("buy_volume_usd", "sell_volume_usd", "total_volume_usd", "liquidation_volume_usd"), 80),
        **dict.fromkeys(("liquidation_long_usd", "liquidation_short_usd"), 80),
        "count": 80,
        "largest_trade_usd": 60,
        "first_price": 30,
        "last_price": 20,
        "high": 30,
        "low": 20,
    }


def test_a_markets_page_shows_every_rule(port: int, visit: Open) -> None:
    """What it measured of which threshold, and a chart of it in its unit; the open episode, whichever rule's."""
    page = visit(port, MARKET).page
    page.locator("#rules [data-rule=price_move] canvas").wait_for()
    facts = {dt.inner_text(): dt.locator("+ dd").inner_text() for dt in page.locator("[data-rule] dt").all()}
    assert facts == {
        "Threshold of traded volume": "$292 of $1.00M in 5m (0.0%)",
        "Threshold of price move": "4.32% of 2.00% in 5m (216.0%)",
        "Threshold of share of sales": "0.0000% of 50.00% in 5m (0.0%)",
    }
    titles = [[part.strip() for part in title.inner_text().split("\n")] for title in page.locator("#rules h3").all()]
    assert titles == [
        ["Price move in 5m against the threshold", "4.32%"],
        ["Traded volume in 5m against the threshold", "$292"],
    ]
    assert page.locator("#episode").inner_text().startswith("MEDIUM, episode since")


ROWS_COME_LATE = """
delete window.SharedWorker;
window.EventSource = class extends EventSource {
  addEventListener(type, take) {
    super.addEventListener(type, type === "rows" ? (event) => setTimeout(take, 1000, event) : take);
  }
};
"""


@pytest.mark.parametrize("script", ["", ROWS_COME_LATE], ids=["at once", "late"])
def test_the_charts_of_a_quiet_market_are_whole_whenever_its_row_comes(browser: Browser, script: str) -> None:
    """Its clock stands hours behind the present. Until its row comes, a page does not know that."""
    worker = MemoryWorker(price_move_pct=2)
    for second, price in ((0, 100.0), (10, 97.0), (20, 95.6781)):
        worker.trade(SYMBOL, LAST - 7200 + second - NOON, price)
    with serving(worker) as (port,):
        page = browser.new_page()
        page.add_init_script(script)
        page.goto(f"http://127.0.0.1:{port}{MARKET}")
        page.locator("#rules [data-rule=price_move] canvas").wait_for()
        assert page.locator("#rules [data-rule=price_move] .readout").inner_text() == "4.32%"
        page.close()


def test_the_alerts_page_lists_the_rules_that_the_worker_says(port: int, visit: Open) -> None:
    """Its filter has them all, and alerts are told in the worker's words, with or without a sentence of it.

    Their windows are longer than the market is counted, and they say so.
    """
    page = visit(port, "/alerts").page
    page.locator("#rule option").nth(3).wait_for(state="attached")
    labels = [kind.label for kind in known_rules().values()]
    assert page.locator("#rule option").all_inner_texts() == ["any", *labels]
    sentences = {
        "1.30 M USD traded",
        "price moved -4.32 % in 5 min, 2.2\N{MULTIPLICATION SIGN} the threshold",
        "spread: 12 count in 5 min, 1.2\N{MULTIPLICATION SIGN} the threshold (retracted)",
    }
    page.wait_for_function("(count) => document.querySelectorAll('.alert-row').length === count", arg=len(sentences))
    since = f", of data since {time.strftime('%H:%M:%S', time.gmtime(LAST - 20))}"
    page.locator(".alert-row", has_text=since).nth(len(sentences) - 1).wait_for()
    assert {row.locator("td").nth(3).inner_text() for row in page.locator(".alert-row").all()} == {
        f"{sentence}{since}" for sentence in sentences
    }
    page.select_option("#rule", "price_move")
    page.wait_for_function("() => document.querySelectorAll('.alert-row').length === 1")
    assert page.url.endswith("/alerts?rule=price_move")
    page.locator(".alert-row button").click()
    detail = page.locator(".detail").inner_text()
    assert "Measured\n4.32%\n" in detail
    assert "Threshold\n2.00%\n" in detail
    assert "Raised at offset\n2" in detail
    assert "Total volume\n$1,300,000.00\n" in detail
    assert f"Price change\n{MINUS}4.3219%\n" in detail
    severities = ["any", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert page.locator("#severity option").all_inner_texts() == severities


def test_a_filter_in_the_address_is_chosen(port: int, visit: Open) -> None:
    """A link to the alerts of a rule shows those."""
    page = visit(port, "/alerts?rule=price_move").page
    page.locator("#rule option").nth(3).wait_for(state="attached")
    assert page.locator("#rule").input_value() == "price_move"
    assert page.locator(".alert-row").count() == 1


def test_a_worker_with_other_settings_says_what_its_severities_begin_with(port: int, visit: Open) -> None:
    """Its threshold and its steps are not those of the worker that shows the row."""
    told = {"rule": "volume", "unit": "usd", "threshold": 5e5, "measured": 1e6, "alert": None}
    standing = "async (row) => (await import('/static/rules.js')).standing(row)"
    row = {"judgements": [told | {"steps": [5e5, 6e5, 7e5, 8e6]}]}
    (shown,) = visit(port).page.evaluate(standing, row)["judgements"]
    assert (shown["steps"], shown["step"]) == ([5e5, 6e5, 7e5, 8e6], 3)


def test_a_row_of_a_worker_of_an_earlier_release_is_shown(port: int, visit: Open) -> None:
    """It knows of one rule a market, in USD, and has no judgements."""
    row = {"rule": "volume", "threshold_usd": 5e5, "amount_usd": 1e6, "mark": {"open": True, "severity": "MEDIUM"}}
    standing = "async (row) => (await import('/static/rules.js')).standing(row)"
    (shown,) = visit(port).page.evaluate(standing, row)["judgements"]
    assert (shown["label"], shown["reach"], shown["step"], shown["level"]) == ("traded volume", 2, 1, 2)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("name", "path"), [("overview", "/"), ("market", MARKET), ("alerts", "/alerts")])
def test_pages_with_two_rules_can_be_used(
    port: int, visit: Open, name: str, path: str, theme: str, size: tuple[int, int]
) -> None:
    """As those with one: nothing serious for axe, nothing wider than the screen, a screenshot to be looked at."""
    visited = visit(port, path, theme=theme, size=size)
    visited.page.locator(".body .row, .alert-row").first.wait_for()
    visited.page.wait_for_timeout(300)
    ARTIFACTS.mkdir(exist_ok=True)
    kind = "phone" if size == PHONE else "desktop"
    visited.page.screenshot(path=ARTIFACTS / f"two-rules-{name}-{theme}-{kind}.png", full_page=name != "overview")
    assert visited.page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    assert visited.axe() == []
