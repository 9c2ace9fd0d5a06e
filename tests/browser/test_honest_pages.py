"""What pages must not claim: windows that are not whole, all markets before they have come, old news, others' rules."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, Open
from tests.browser.memory_view import serving
from tests.trades import NOON
from tests.worker import MemoryWorker

LAST = int(time.time())
BIG = 1_234_567_890
NONE = "\N{EN DASH}"


class Half(MemoryWorker):
    """A worker of two, which serves one partition and stands by for the other. Its offsets are long."""

    def __init__(self, partition: int, **settings: Any) -> None:
        super().__init__(topic_partitions=2, **settings)
        self.partition = partition

    def partitions(self) -> list[int]:
        return [self.partition]

    def standby_partitions(self) -> list[int]:
        return [1 - self.partition]

    def standby_offsets(self, partition: int) -> tuple[int | None, int | None]:  # noqa: ARG002
        return BIG, BIG + 1234

    def next_offset(self, partition: int) -> int | None:  # noqa: ARG002
        return BIG

    def home(self, symbol: str) -> int:
        return 1 if symbol.startswith("PF_") else 0


@pytest.fixture
def worker() -> MemoryWorker:
    """Give a worker whose first market was counted for an hour, whose others began a minute and a half ago."""
    worker = MemoryWorker()
    for second in (-3600, -90, 0):
        worker.trade("BTC/USD", LAST + second - NOON, 60_000.1)
    for symbol in ("ETH/USD", "PF_XBTUSD", "PF_ETHUSD"):
        for second in (-90, 0):
            worker.trade(symbol, LAST + second - NOON, 3093.47)
    return worker


@pytest.fixture
def port(worker: MemoryWorker) -> Iterator[int]:
    """Give the port of its pages."""
    with serving(worker) as (port,):
        yield port


def shown(page: Page) -> set[str]:
    """Return the markets on the overview."""
    return {*page.locator(".body .row:not([hidden])").evaluate_all("rows => rows.map((row) => row.dataset.symbol)")}


def test_a_window_that_lacks_trades_says_so(visit: Open) -> None:
    """Twelve numbers were left out between two trades: amounts are at least what is shown."""
    worker = MemoryWorker()
    worker.is_numbered = True
    for second in (-3600, -200, -100, -10, 0):
        worker.trades += 12 if second == -100 else 0
        worker.trade("BTC/USD", LAST + second - NOON, 60_000.1)
    with serving(worker) as (port,):
        page = visit(port).page
        page.locator('.row[data-symbol="BTC/USD"] .lacking').first.wait_for()
        cells = page.locator('.row[data-symbol="BTC/USD"] [role=gridcell]')
        lacking = [("lacking" in (cells.nth(at).get_attribute("class") or "")) for at in (4, 5)]
        assert lacking == [False, True], "they are missing before the last minute"
        assert cells.nth(5).get_attribute("title") == "12 trades are missing"
        page.screenshot(path=ARTIFACTS / "missing-overview.png")
        page = visit(port, "/market?venue=kraken_spot&symbol=BTC%2FUSD").page
        page.locator("#missing", has_text="5m: 12 trades are missing").wait_for()
        assert "1m:" not in (page.locator("#missing").text_content() or "")
        page.screenshot(path=ARTIFACTS / "missing-market.png")


def test_a_window_that_is_not_whole_is_dimmed(port: int, visit: Open) -> None:
    """The 5 minutes of a market that is counted for 90 s are no 5 minutes; those of the others are."""
    page = visit(port).page
    page.locator('.row[data-symbol="ETH/USD"] .part').first.wait_for()
    cells = page.locator('.row[data-symbol="ETH/USD"] [role=gridcell]')
    parts = [("part" in (cells.nth(at).get_attribute("class") or "")) for at in (4, 5)]
    assert parts == [False, True], "1 minute is whole, 5 minutes are not"
    tip = cells.nth(5).get_attribute("title") or ""
    assert tip == f"not whole yet: counted since {time.strftime('%H:%M:%S', time.gmtime(LAST - 90))} UTC"
    assert page.locator('.row[data-symbol="BTC/USD"] .part').count() == 0
    assert "not whole yet in 3 markets" in (page.locator("#tile-volume").get_attribute("title") or "")
    page.locator("body").press("1")
    page.wait_for_function("() => !document.querySelector('#tile-volume.part')")

    page = visit(port, "/market?venue=kraken_spot&symbol=ETH/USD").page
    page.locator("#covered", has_text="5m is not whole yet").wait_for()
    page.locator("#windows .part", has_text="5m").wait_for()
    page = visit(port, "/market?venue=kraken_spot&symbol=BTC/USD").page
    page.locator(".panes .body .row").first.wait_for()
    assert page.locator("#covered").is_hidden()


def test_markets_that_have_not_come_are_not_left_out_in_silence(worker: MemoryWorker, port: int, visit: Open) -> None:
    """While the worker takes its partitions over, the count is one so far, and the header is not green."""
    worker.has_recovered = False
    page = visit(port, live=False).page
    page.locator(".connection.part", has_text="markets are coming").wait_for()
    page.locator("#tile-markets", has_text="so far").wait_for()
    assert page.locator("#tile-scope").inner_text() == "markets so far"
    worker.has_recovered = True
    page.locator(".connection.live").wait_for()
    page.wait_for_function("() => document.getElementById('tile-markets').textContent === '4'")
    assert page.locator("#tile-scope").inner_text() == "all markets"
    page.fill("#filter", "eth")
    page.locator("#tile-scope", has_text="2 of 4 markets").wait_for()


def test_the_header_is_not_green_while_copies_are_shown(port: int, visit: Open) -> None:
    """It counts them; a row says first how old its copy is, which no long name cuts off."""
    page = visit(port).page
    page.locator('.row[data-symbol="ETH/USD"]').wait_for()
    page.evaluate(
        """async () => {
          const { feed } = await import("/static/feed.js");
          feed.rows.get("kraken_spot|ETH/USD").copied = feed.now() - 4000;
          feed.dispatchEvent(new CustomEvent("rows", { detail: {} }));
        }"""
    )
    page.locator(".connection.part", has_text="1 copy").wait_for()
    small = page.locator('.row[data-symbol="ETH/USD"] .market small')
    assert small.inner_text() == "copy, 67m · kraken spot"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("btc", {"BTC/USD", "PF_XBTUSD"}),
        ("XBT", {"BTC/USD", "PF_XBTUSD"}),
        ("Eth Futures", {"PF_ETHUSD"}),
        ("btcusd spot", {"BTC/USD"}),
    ],
)
def test_markets_are_found_by_what_people_type(port: int, visit: Open, typed: str, found: set[str]) -> None:
    """In any case, by any part, and by either name of Bitcoin."""
    page = visit(port).page
    page.wait_for_function("() => document.querySelectorAll('.body .row:not([hidden])').length === 4")
    page.fill("#filter", typed)
    page.wait_for_function(f"() => document.querySelectorAll('.body .row:not([hidden])').length === {len(found)}")
    assert shown(page) == found


def test_rows_are_sorted_by_the_window_that_is_chosen(port: int, visit: Open) -> None:
    """Until someone sorts by something else."""
    page = visit(port).page
    heading = page.locator("[aria-sort=descending]")
    heading.wait_for()
    assert heading.inner_text() == "Vol 5m"
    page.locator("body").press("1")
    page.wait_for_function("() => document.querySelector('[aria-sort=descending]').textContent === 'Vol 1m'")
    page.get_by_role("columnheader", name="Change").get_by_role("button").click()
    page.locator("body").press("2")
    assert heading.inner_text() == "Change"


def test_only_alerts_of_just_now_are_announced(port: int, visit: Open) -> None:
    """One that is new to the page only, since its message was delivered or its worker is back, is no news."""
    announced = visit(port).page.evaluate(
        """async () => {
          const { Source } = await import("/static/source.js");
          const told = [];
          const source = new Source((message) => told.push(...(message.fresh ?? [])));
          const at = (ago) => new Date(Date.now() - ago * 1000).toISOString();
          const alert = (pane, ago) => ({ rule: "volume", venue: "v", symbol: "S", pane, recorded_at: at(ago) });
          source.takeAlerts([alert(1, 3600), alert(2, 1)]);
          source.takeAlerts([alert(3, 3600), alert(4, 1)]);
          return told;
        }"""
    )
    assert announced == ["volume|v|S|2", "volume|v|S|4"]


def test_prices_are_written_for_people(port: int, visit: Open) -> None:
    """As they were traded; an average with as many digits as mean something."""
    prices = [60000.1, 3093.469172899748, 0.00001234, 1.2345678901e-7, 1234567.89, 0]
    written = visit(port).page.evaluate(
        """async (prices) => {
          const { inFull } = await import("/static/format.js");
          return prices.map((price) => inFull({ unit: "price" }, price));
        }""",
        prices,
    )
    assert written == ["60,000.1", "3,093.46917", "0.00001234", "0.000000123456789", "1,234,567.89", NONE]


def test_an_unknown_market_is_no_skeleton(worker: MemoryWorker, port: int, visit: Open) -> None:
    """It says so in place of empty charts, names those that are alike, and is shown once it trades."""
    visited = visit(port, "/market?venue=kraken_futures&symbol=PF_XBTUSDT")
    page = visited.page
    page.locator("#problem", has_text="No such market: PF_XBTUSDT of kraken futures.").wait_for()
    assert page.locator("#charts").is_hidden()
    assert page.locator("#windows").is_hidden()
    visited.page.goto(f"{visited.origin}/market?venue=kraken_spot&symbol=XBT")
    page.locator("#unknown a", has_text="BTC/USD (kraken spot)").wait_for()
    visited.page.goto(f"{visited.origin}/market?venue=kraken_spot&symbol=DOGE/USD")
    page.locator("#unknown").wait_for()
    lines = page.locator("#unknown p").all_inner_texts()
    assert lines == ["No trade of it has come yet. It is shown here as soon as one does.", "All markets"]
    worker.trade("DOGE/USD", LAST - NOON, 0.1)
    page.locator("#charts").wait_for()
    assert page.locator("#unknown").is_hidden()
    visited.errors = [error for error in visited.errors if "404" not in error]


def test_words_are_explained_on_a_phone_too(port: int, visit: Open) -> None:
    """The button is there, on one line with the rest, and its dialog has the words before the keys."""
    page = visit(port, size=PHONE).page
    top = page.locator(".top").bounding_box()
    assert top is not None
    assert top["height"] < 60
    page.get_by_role("button", name="Help: words and keys").click()
    words = page.locator("#help .words dt").all_inner_texts()
    assert page.locator("#help").evaluate("dialog => dialog.scrollTop") == 0
    assert {"pane", "window", "episode", "severity", "copy", "late"} <= {*words}
    page.screenshot(path=ARTIFACTS / "help-dark-phone.png")


def test_a_phone_shows_the_connection_beside_the_logout(visit: Open) -> None:
    """Its dot and its word begin within their place, and the button is there, on one line."""
    token = "a token of this test"
    with serving(MemoryWorker(web_token=token)) as (port,):
        page = visit(port, size=PHONE, live=False).page
        page.fill("input[name=token]", token)
        page.locator("button").click()
        page.locator(".connection.live").wait_for()
        page.locator("#logout button").wait_for()
        wide, seen = page.locator("#connection").evaluate("one => [one.scrollWidth, one.clientWidth]")
        assert wide <= seen, "nothing is cut off"
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.evaluate("() => { document.getElementById('connection').textContent = 'live, and much more than fits' }")
        words = page.locator("#connection").evaluate(
            "one => { const range = document.createRange(); range.selectNodeContents(one); "
            "return range.getBoundingClientRect().left - one.getBoundingClientRect().left; }"
        )
        assert words >= 0, "what does not fit is cut off at its end"


def test_a_row_is_judged_by_its_owner(visit: Open) -> None:
    """The page is of a worker with another threshold and another rule window; so are the charts' lines."""
    first = Half(0, liquidation_rule_threshold_usd=250_000)
    second = Half(1, liquidation_rule_threshold_usd=50, window_seconds=60)
    first.trade("BTC/USD", LAST - NOON, 60_000.0)
    for second_ago in (100, 0):
        second.trade("PF_XBTUSD", LAST - second_ago - NOON, 60_000.0, partition=1)
    with serving(first, second) as (port, _):
        page = visit(port).page
        cell = page.locator('.row[data-symbol="PF_XBTUSD"] .reach')
        cell.wait_for()
        assert cell.get_attribute("title") == "liquidations: $0 of $50.0 in 1m"
        page = visit(port, "/market?venue=kraken_futures&symbol=PF_XBTUSD").page
        page.locator("#rules h3", has_text="Liquidations in 1m against the threshold").wait_for()
        assert page.locator("[data-rule=liquidation] dd").inner_text() == "$0 of $50.0 in 1m (0.0%)"


def test_settings_that_differ_are_named(visit: Open) -> None:
    """With each worker's value; where they agree there is nothing to say."""
    with serving(Half(0, price_move_pct=2), Half(1, liquidation_threshold_usd=500_000)) as ports:
        page = visit(ports[0], "/workers").page
        page.locator("#differences li").first.wait_for()
        rows = page.locator("#differences li").all_inner_texts()
        assert {row.split()[0] for row in rows} == {"LIQUIDATION_THRESHOLD_USD", "PRICE_MOVE_PCT"}
        (move,) = (row for row in rows if "PRICE_MOVE_PCT" in row)
        assert f":{ports[0]}: 2" in move
        assert f":{ports[1]}: not set" in move
        page.screenshot(path=ARTIFACTS / "differences-dark-desktop.png", full_page=True)
        page.close()
    with serving(Half(0), Half(1)) as ports:
        page = visit(ports[0], "/workers").page
        page.locator("#workers .panel").nth(1).wait_for()
        assert page.locator("#differences").is_hidden()


def test_partitions_fit_on_a_desk_and_standbys_say_how_far_they_are(visit: Open) -> None:
    """Two workers side by side with offsets of ten digits: nothing is cut off at 1440 pixels."""
    first, second = Half(0), Half(1)
    first.trade("BTC/USD", LAST - NOON, 60_000.0)
    with serving(first, second) as ports:
        page = visit(ports[0], "/workers", size=DESKTOP).page
        page.locator("#workers .panel").nth(1).wait_for()
        widths = "all => all.map((one) => [one.scrollWidth, one.clientWidth])"
        boxes = page.locator("#workers .scroll").evaluate_all(widths)
        assert len(boxes) == 2
        assert all(wide <= seen for wide, seen in boxes)
        standby = page.locator("#workers tr", has_text="standby").first.locator("td").all_inner_texts()
        assert standby[1:] == ["standby", "1,234", NONE, NONE, f"{BIG:,}", f"{BIG + 1234:,}", NONE]
