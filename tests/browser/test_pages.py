"""The pages of a running worker: their numbers, how they change, and that anyone can use them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from playwright.sync_api import Page

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.browser.conftest import ARTIFACTS, DESKTOP, LAPTOP, PHONE, Open, Visit
from tests.browser.numbers import usd
from tests.browser.overview import assert_row
from tests.browser.prompt import ATTEMPTS, is_in_time, shown_at, watch
from tests.browser.starved import Starved
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.oracle import Oracle, OracleTrade
from tests.recordings import SCENARIOS, Tape
from tests.view import View, ask, eventually

PAGES = {
    "overview": "/",
    "market": "/market?venue=kraken_futures&symbol=PF_XBTUSD",
    "alerts": "/alerts",
    "workers": "/workers",
}


@pytest.fixture(scope="module")
def trades() -> list[OracleTrade]:
    """Give a recording that ends about now, as live trades do."""
    recorded = SCENARIOS["several markets"](7)
    shift = time.time_ns() // 1000 - max(trade.time_us for trade in recorded)
    shift -= shift % 1000
    return [replace(trade, time_us=trade.time_us + shift) for trade in recorded]


@pytest.fixture(scope="module")
def oracle(trades: list[OracleTrade]) -> Oracle:
    """Give what must be found in it."""
    return Oracle(trades)


@pytest.fixture(scope="module")
def view(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """Give a stack to start workers on."""
    with View(tmp_path_factory.mktemp("pages"), new_database(postgres_server)) as view:
        yield view


@pytest.fixture(scope="module")
def worker(view: View, trades: list[OracleTrade], oracle: Oracle) -> Process:
    """Give a worker that has counted the recording."""
    worker = view.start()
    view.publish(trades)
    view.settle([worker], len(trades))
    eventually(lambda: len(ask(worker.port, "/api/alerts").json) == len(oracle.alerts()), "the alerts' rows")
    return worker


def test_the_overview_shows_what_the_api_says(worker: Process, visit: Open, oracle: Oracle) -> None:
    """One row a market, each cell the API's and the oracle's figure."""
    page = visit(worker.port).page
    for venue, symbol in oracle.markets():
        assert_row(page, oracle, venue, symbol)


def test_the_market_page_shows_the_oracles_numbers(worker: Process, visit: Open, oracle: Oracle) -> None:
    """Window, panes and ids of one market, to the cent."""
    venue, symbol = "kraken_spot", "BTC/USD"
    page = visit(worker.port, f"/market?venue={venue}&symbol={symbol}")
    page.page.wait_for_function("() => document.getElementById('fact-volume').textContent.startsWith('$')")
    figures = oracle.window(venue, symbol, oracle.watermark(venue, symbol), 300)
    assert figures is not None
    assert page.text("#fact-volume") == usd(figures["total_volume_micro_usd"] / 1e6)
    assert page.text("#fact-trades").split(" ")[0] == f"{figures['count']:,}"
    assert page.text("#fact-largest") == usd(figures["largest_trade_micro_usd"] / 1e6)
    page.page.locator(".panes .body .row").first.wait_for()
    newest = max(oracle.panes(venue, symbol))
    pane = oracle.panes(venue, symbol)[newest]
    cells = page.page.locator(".panes .body .row[aria-rowindex='2'] [role=cell]").all_inner_texts()
    assert cells[0] == time.strftime("%H:%M:%S", time.gmtime(newest))
    assert cells[1] == f"{pane['count']:,}"
    assert cells[2] == usd(pane["total_volume_micro_usd"] / 1e6)
    assert str(pane["ids"][0]) in cells[11]


def test_the_alerts_page_shows_the_history(worker: Process, visit: Open, oracle: Oracle) -> None:
    """Each alert with its window as it was, and a link to its market at that moment."""
    page = visit(worker.port, "/alerts").page
    page.locator(".alert-row").first.wait_for()
    assert page.locator(".alert-row").count() == len(oracle.alerts())
    wide, seen = page.locator(".scroll").evaluate("one => [one.scrollWidth, one.clientWidth]")
    assert wide <= seen, "no column is cut off"
    page.select_option("#severity", "CRITICAL")
    wanted = [alert for alert in oracle.alerts() if alert["severity"] == "CRITICAL"]
    page.wait_for_function(f"() => document.querySelectorAll('.alert-row').length === {len(wanted)}")
    page.locator(".alert-row button").first.click()
    newest = max(wanted, key=lambda alert: alert["pane"])
    assert usd(newest["total_volume_micro_usd"] / 1e6) in page.locator(".detail").inner_text()
    page.locator(".detail a").click()
    page.wait_for_url(f"**/market?*at={newest['pane']}")
    page.locator(".panes .row.at").wait_for()


def test_the_keyboard_stays_where_it_is_when_alerts_arrive(worker: Process, view: View, visit: Open) -> None:
    """Who reads an alert's window by keyboard is not thrown out by the next alert."""
    page = visit(worker.port, "/alerts").page
    button = page.locator(".alert-row button").first
    button.focus()
    page.keyboard.press("Enter")
    page.locator(".detail").wait_for()
    key = button.get_attribute("data-key")
    tape = Tape(98, "ADA/USD", start=time.time_ns() // 10**9 - 5, price="0.5", tick="0.0001").surge(1_500_000, 3)
    view.publish(tape.trades)
    page.locator(".alert-row", has_text="ADA/USD").first.wait_for()
    assert page.evaluate("() => document.activeElement.dataset.key") == key
    assert page.locator(".detail").count() == 1


@pytest.mark.alone
def test_a_new_alert_appears_within_a_second_of_its_row(
    worker: Process, view: View, trades: list[OracleTrade], visit: Open
) -> None:
    """Without a reload: on the overview as a message, a chip and a badge; in the history as a row.

    Where the machine was too busy to tell, another market's alert is measured.
    """
    overview, history = visit(worker.port).page, visit(worker.port, "/alerts").page
    watch(overview, ".toast", ".chip")
    watch(history, ".alert-row")
    for number in range(ATTEMPTS):
        symbol = f"SOL{number}/USD"
        tape = Tape(99, symbol, start=time.time_ns() // 10**9 - 5, price="150", tick="0.01").surge(1_500_000, 3)
        with Starved() as starved:
            view.publish(tape.trades)
            eventually(partial(has_alert, worker, symbol), "the alert's row", 20)
            row_at = time.time()
            places = ((overview, ".toast"), (overview, ".chip"), (history, ".alert-row"))
            shown = max(shown_at(page, selector, symbol) for page, selector in places)
        if is_in_time(row_at, shown, starved):
            break
    else:
        pytest.fail(f"the machine was too busy to measure {ATTEMPTS} times in a row")
    badge = overview.locator(f'.row[data-symbol="{symbol}"] .badge')
    badge.wait_for(timeout=2000)
    assert badge.inner_text() == "LOW"


def has_alert(worker: Process, symbol: str) -> bool:
    """Whether a market's alert has a row."""
    return bool(ask(worker.port, "/api/alerts", {"symbol": symbol}).json)


def test_rows_change_without_being_made_again(worker: Process, view: View, visit: Open) -> None:
    """A trade changes the text of its cell; the row stays the element it was, and no other moves."""
    page = visit(worker.port).page
    row = page.locator('.row[data-symbol="ETH/USD"]')
    wait_for_all_rows(page, worker)
    page.evaluate("() => document.querySelectorAll('.body .row').forEach((row) => (row.kept = true))")
    before = row.locator("[role=gridcell]").nth(1).inner_text()
    view.publish(
        Tape(5, "ETH/USD", start=time.time_ns() // 10**9, price="2222.22", tick="0.01").surge(1000, 1, 3).trades
    )
    page.wait_for_function(
        "(before) => document.querySelector('.row[data-symbol=\"ETH/USD\"]').children[1].textContent !== before",
        arg=before,
    )
    assert page.evaluate("() => [...document.querySelectorAll('.body .row:not([hidden])')].every((row) => row.kept)")


def wait_for_all_rows(page: Page, worker: Process) -> list[str]:
    """Wait until each market has its row, since a first look may bring them in parts; return their symbols."""
    symbols = [row["symbol"] for row in ask(worker.port, "/api/windows", {"window_seconds": 300}).json]
    page.wait_for_function(f"() => document.querySelectorAll('.body .row:not([hidden])').length === {len(symbols)}")
    return symbols


# Rows move in the frame after the heading has changed.
ORDER_IS = """
(wanted) => [...document.querySelectorAll(".body .row:not([hidden])")]
  .sort((one, other) => one.top - other.top).map((row) => row.dataset.symbol).join() === wanted.join()
"""


def test_sorting_filtering_and_keys(worker: Process, visit: Open) -> None:
    """Headings sort both ways, `/` filters, arrows and Enter open a market."""
    page = visit(worker.port).page
    ascending = sorted(wait_for_all_rows(page, worker))
    heading = page.get_by_role("columnheader", name="Market")
    heading.get_by_role("button").click()
    page.wait_for_function("() => document.querySelector('[aria-sort=ascending]')")
    page.wait_for_function(ORDER_IS, arg=ascending)
    heading.get_by_role("button").click()
    page.wait_for_function("() => document.querySelector('[aria-sort=descending]')")
    page.wait_for_function(ORDER_IS, arg=ascending[::-1])

    page.locator("body").press("/")
    page.keyboard.type("futures pf_")
    page.wait_for_function("() => document.querySelectorAll('.body .row:not([hidden])').length === 1")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelectorAll('.body .row:not([hidden])').length > 3")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(".row.chosen").get_attribute("data-symbol") == ascending[::-1][1]
    page.keyboard.press("Enter")
    page.wait_for_url("**/market?*")
    page.keyboard.press("a")
    page.wait_for_url("**/alerts")


def test_every_window_can_be_chosen(worker: Process, visit: Open, oracle: Oracle) -> None:
    """The figures follow the window that is chosen."""
    visited = visit(worker.port, "/market?venue=kraken_futures&symbol=PF_XBTUSD")
    page = visited.page
    end = oracle.watermark("kraken_futures", "PF_XBTUSD")
    for key, seconds in enumerate((60, 300, 900, 3600), start=1):
        figures = oracle.window("kraken_futures", "PF_XBTUSD", end, seconds)
        assert figures is not None
        page.locator("body").press(str(key))
        wanted = usd(figures["total_volume_micro_usd"] / 1e6)
        page.wait_for_function("(wanted) => document.getElementById('fact-volume').textContent === wanted", arg=wanted)


def test_an_unknown_market_is_said_to_be_unknown(worker: Process, visit: Open) -> None:
    """A link to nothing shows why, not an empty page."""
    visited = visit(worker.port, "/market?venue=x&symbol=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    visited.page.locator("#problem", has_text="no such market").wait_for()
    visited.errors = [error for error in visited.errors if "404" not in error]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_can_be_used(worker: Process, visit: Open, name: str, theme: str, size: tuple[int, int]) -> None:
    """Dark and light, on a desk and on a phone: axe finds nothing serious, nothing is wider than the screen.

    A screenshot of each is kept to be looked at.
    """
    visited = visit(worker.port, PAGES[name], theme=theme, size=size)
    settle(visited)
    ARTIFACTS.mkdir(exist_ok=True)
    kind = "phone" if size == PHONE else "desktop"
    visited.page.screenshot(path=ARTIFACTS / f"{name}-{theme}-{kind}.png", full_page=name != "overview")
    assert visited.page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    assert visited.axe() == []


COLOURED = """
() => {
  const canvas = document.querySelector("#volume canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) count += data[at + 3] > 60 && Math.abs(data[at] - data[at + 1]) > 40;
  return count;
}
"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_market_is_whole_on_any_screen(worker: Process, visit: Open, size: tuple[int, int]) -> None:
    """Each column of its panes is there, however far to the right, and its volume's bars can be seen."""
    page = visit(worker.port, PAGES["market"], size=size).page
    page.locator(".panes .body .row").first.wait_for()
    cells = page.locator(".panes .body .row[aria-rowindex='2'] [role=cell]")
    boxes = [cell.bounding_box() for cell in cells.all()]
    heads = [head.bounding_box() for head in page.locator(".panes .head [role=columnheader]").all()]
    assert len(boxes) == len(heads) == 13
    for box, head in zip(boxes, heads, strict=True):
        assert box is not None
        assert head is not None
        assert abs(box["x"] - head["x"]) < 1
        assert box["width"] > 20
    page.wait_for_function(f"() => ({COLOURED.strip()})() > 200")


def test_the_overview_shows_every_column_on_a_laptop(worker: Process, visit: Open) -> None:
    """To the last, with nothing to scroll sideways: the open episode stands at the end of a row."""
    page = visit(worker.port, PAGES["overview"], size=LAPTOP).page
    page.locator(".body .row").first.wait_for()
    wide, shown = page.locator(".grid").evaluate("(grid) => [grid.scrollWidth, grid.clientWidth]")
    assert wide <= shown


def settle(visited: Visit) -> None:
    """Wait until the page shows its data."""
    ready = ".body .row, .alert-row, #workers .panel"
    visited.page.locator(ready).first.wait_for()
    visited.page.wait_for_timeout(300)


def test_a_lost_connection_shows_and_heals(worker: Process, visit: Open) -> None:
    """When the worker goes, the page says so and keeps the old figures; when it is back, so is the page."""
    visited = visit(worker.port)
    page = visited.page
    row = page.locator('.row[data-symbol="BTC/USD"]')
    row.wait_for()
    worker.stop_well()
    page.locator(".connection.lost").wait_for(timeout=10_000)
    assert "Connection lost" in page.locator("#notes").inner_text()
    assert row.is_visible()
    worker.start()
    worker.wait_ready()
    page.locator(".connection.live").wait_for(timeout=15_000)
    page.wait_for_function("() => document.getElementById('notes').textContent === ''")
    assert row.is_visible()
    visited.errors = [error for error in visited.errors if "ERR_" not in error]
