"""A page on one of two workers, when the other is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from streams.local.embedded.postgres import EmbeddedPostgres
from tests.browser.conftest import ARTIFACTS, Open
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import HEADERS, HOST, TOKEN, View, answered, ask, eventually, is_whole, several_workers


@pytest.fixture
def view(postgres_server: EmbeddedPostgres, tmp_path: Path, redis_url: str) -> Iterator[View]:
    """Give the stack of them, with a table store that they share."""
    with several_workers(tmp_path, new_database(postgres_server), redis_url, TABLE_STORE=redis_url) as view:
        yield view


def test_the_page_recovers_when_an_owner_is_killed(view: View, visit: Open) -> None:
    """Who logged in sees all markets, and goes on to: the killed worker's rows stay, marked, until the other has them.

    A page that is opened meanwhile shows copies from Redis, and says how old they are; a market's has the panes that
    were stored last.
    """
    trades = SCENARIOS["several markets"](4)
    symbols = {symbol for _, symbol in Oracle(trades).markets()}
    first, second = view.start("first"), view.start("second")

    def owned_by(worker: Process) -> set[str]:
        answer = answered(
            lambda: ask(first.port, "/api/windows", {"window_seconds": 300}, headers=HEADERS),
            lambda found: is_whole(found) and {row["symbol"] for row in found.json} == symbols,
            "every market to be served",
            40,
        )
        return {row["symbol"] for row in answer.json if row["owner"].endswith(f":{worker.port}")}

    def shares() -> list[int]:
        rows = ask(first.port, "/api/workers", headers=HEADERS).json["rows"]
        return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])

    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    view.publish(trades)
    view.settle([first, second], len(trades))
    owned = owned_by(second)
    assert owned

    page = visit(first.port, live=False).page
    log_in(page)
    for symbol in symbols:
        page.locator(f'.row[data-symbol="{symbol}"]').wait_for()
    assert page.locator(".row.old").count() == 0
    with view.broker_frozen():
        second.kill()
        expect_old(page, owned, second.port)
    expect_healed(page, symbols)
    assert owned_by(first) == symbols

    # Once more, on a worker that nobody looked at while the other lived.
    page.goto("about:blank")
    second.start()
    second.wait_ready()
    first.stop_well()
    eventually(lambda: len(rows_of(second.port)) == len(symbols), "all markets to be on the second worker", 40)
    first.start()
    first.wait_ready()
    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    owned = owned_by(second)
    workers = ask(first.port, "/api/workers", headers=HEADERS).json["rows"]
    assert [row["watchers"] for row in workers] == [0, 0], "workers must not follow each other for no one"
    with view.broker_frozen():
        second.kill()
        page = visit(first.port, live=False).page
        log_in(page)
        expect_old(page, owned, second.port)
        for symbol in owned:
            page.locator(f'.row[data-symbol="{symbol}"] .market small', has_text="copy, ").wait_for(timeout=5_000)
        page.locator(f'.row[data-symbol="{min(owned)}"] a').click()
        page.locator("#problem", has_text=f"{HOST}:{second.port} does not answer; panes as it last stored").wait_for()
        page.locator("#panes-body .row").first.wait_for()
        page.screenshot(path=ARTIFACTS / "market-silent-owner.png")
        page.go_back()
        expect_old(page, owned, second.port)
    expect_healed(page, symbols)
    assert page.locator(".market small", has_text="copy").count() == 0
    page.locator("#logout button").click()
    page.wait_for_url("**/login")


def test_a_window_that_a_market_lacks_is_shown_as_missing(view: View, visit: Open) -> None:
    """Its worker has other windows: nothing of another length stands in its place, and sorting leaves it at the end."""
    trades = SCENARIOS["several markets"](4)
    markets = {symbol: venue for venue, symbol in Oracle(trades).markets()}
    first, second = view.start("first"), view.start("second", WINDOWS="120,300")

    def owned() -> set[str]:
        return {row["symbol"] for row in rows_of(second.port)}

    eventually(lambda: len(ask(first.port, "/api/workers", headers=HEADERS).json["rows"]) == 2, "both workers", 40)
    view.publish(trades)
    view.settle([first, second], len(trades))
    eventually(lambda: 0 < len(owned()) < len(markets), "each worker to have some markets", 40)
    lacking = owned()

    page = visit(first.port, live=False).page
    log_in(page)
    for symbol in markets:
        volumes = page.locator(f'.row[data-symbol="{symbol}"] [role=gridcell]')
        page.wait_for_function(
            "symbol => document.querySelector(`.row[data-symbol='${symbol}']`)?.children[5]?.textContent", arg=symbol
        )
        shown = [volumes.nth(at).inner_text() for at in range(4, 8)]
        assert [text == "\N{EN DASH}" for text in shown] == (
            [True, False, True, True] if symbol in lacking else [False] * 4
        )
    page.locator("#windows button", has_text="15m").click()
    page.locator("#head button", has_text="Vol 15m").click()
    for _ in range(2):
        assert set(in_order(page)[-len(lacking) :]) == lacking
        page.locator("#head button", has_text="Vol 15m").click()
    assert "NaN" not in page.locator("main").inner_text()
    symbol = min(lacking)
    page.goto(f"http://{HOST}:{first.port}/market?{urlencode({'venue': markets[symbol], 'symbol': symbol})}")
    page.locator("#windows button", has_text="15m").click()
    page.wait_for_function("() => document.getElementById('fact-newest').textContent.includes(':')")
    assert page.locator("#fact-volume").inner_text() == "\N{EN DASH}"
    assert "NaN" not in page.locator("main").inner_text()


def in_order(page: Page) -> list[str]:
    """Return the markets of the overview from top to bottom."""
    script = "rows => rows.map((row) => [Number(row.ariaRowIndex), row.dataset.symbol])"
    rows: list[tuple[int, str]] = page.locator(".body .row").evaluate_all(script)
    return [symbol for _, symbol in sorted(rows)]


def log_in(page: Page) -> None:
    """Give a wrong token, then the right one."""
    page.wait_for_url("**/login")
    page.fill("[name=token]", "a wrong one")
    page.locator("button", has_text="Log in").click()
    page.locator("#wrong", has_text="not the token").wait_for()
    page.fill("[name=token]", TOKEN)
    page.locator("button", has_text="Log in").click()


def rows_of(port: int) -> list[dict[str, Any]]:
    """Return a row a market that a worker serves itself."""
    query = {"window_seconds": 300, "scope": "local"}
    rows: list[dict[str, Any]] = ask(port, "/api/windows", query, headers=HEADERS).json
    return rows


def expect_old(page: Page, owned: set[str], port: int) -> None:
    """Wait until the rows of a worker that is gone are marked, with a note."""
    page.locator("#notes", has_text=f"127.0.0.1:{port} does not answer").wait_for(timeout=10_000)
    page.wait_for_function(f"() => document.querySelectorAll('.body .row.old').length === {len(owned)}")


def expect_healed(page: Page, symbols: set[str]) -> None:
    """Wait until every row is served again and nothing is noted."""
    page.wait_for_function(
        "() => !document.querySelector('.body .row.old') && !document.getElementById('notes').textContent",
        timeout=40_000,
    )
    for symbol in symbols:
        assert page.locator(f'.row[data-symbol="{symbol}"]').is_visible()
