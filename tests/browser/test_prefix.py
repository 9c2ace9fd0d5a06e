"""The pages below a path of another server, as WEB_PUBLIC_URL names it."""

from collections.abc import Iterator

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.browser.conftest import Open
from tests.browser.reverse_proxy import proxy
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HEADERS, TOKEN, View, ask, eventually

PREFIX = "/ops/liqmon"
TRADES = SCENARIOS["several markets"](11)


@pytest.fixture(scope="module")
def worker(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give a worker that asks for a token, and is told below which path it is served."""
    with View(tmp_path_factory.mktemp("prefix"), new_database(postgres_server)) as view:
        worker = view.start(WEB_TOKEN=TOKEN, WEB_PUBLIC_URL=f"https://ops.example.com{PREFIX}/")
        view.publish(TRADES)
        view.settle([worker], len(TRADES))
        eventually(
            lambda: len(ask(worker.port, "/api/alerts", headers=HEADERS).json) == len(Oracle(TRADES).alerts()),
            "the alerts' rows",
        )
        yield worker


@pytest.mark.parametrize("strips", [True, False], ids=["taken off", "left on"])
def test_every_page_works_below_the_path(worker: Process, visit: Open, strips: bool) -> None:
    """Login, rows that move, a market, its alert, the history, the workers, a download and the way out."""
    with proxy(worker.port, PREFIX, strips=strips) as port:
        page = visit(port, f"{PREFIX}/", live=False).page
        base = f"http://127.0.0.1:{port}{PREFIX}"
        page.wait_for_url(f"{base}/login")
        page.fill("[name=token]", "a wrong one")
        page.locator("button", has_text="Log in").click()
        page.locator("#wrong", has_text="not the token").wait_for()
        page.fill("[name=token]", TOKEN)
        page.locator("button", has_text="Log in").click()
        page.wait_for_url(f"{base}/")
        page.locator(".connection.live").wait_for()
        assert page.locator("nav [aria-current=page]").inner_text() == "Overview"
        page.locator('.row[data-symbol="BTC/USD"] a').click()
        page.wait_for_url(f"{base}/market?venue=kraken_spot&symbol=BTC%2FUSD")
        page.locator(".panes .body .row").first.wait_for()
        href = page.locator("#csv").get_attribute("href") or ""
        assert href.startswith(f"{base}/api/panes?")
        page.keyboard.press("a")
        page.wait_for_url(f"{base}/alerts")
        page.locator(".alert-row button").first.click()
        page.locator(".detail a").click()
        page.wait_for_url(f"{base}/market?*at=*")
        page.keyboard.press("w")
        page.wait_for_url(f"{base}/workers")
        page.locator("#workers .panel").wait_for()
        page.locator("#logout button").click()
        page.wait_for_url(f"{base}/login")
        page.goto(f"{base}/alerts")
        page.wait_for_url(f"{base}/login")
        # What the page still asks for when the proxy is gone is no fault of it.
        page.close()


def test_the_worker_itself_answers_without_the_path(worker: Process, visit: Open) -> None:
    """As other workers, probes and people on its own machine ask it."""
    page = visit(worker.port, live=False).page
    page.wait_for_url("**/login")
    page.fill("[name=token]", TOKEN)
    page.locator("button", has_text="Log in").click()
    page.locator('.row[data-symbol="BTC/USD"]').wait_for()
    assert ask(worker.port, "/readyz").status == 200
