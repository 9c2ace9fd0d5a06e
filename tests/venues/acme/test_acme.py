"""A venue that the program knows nothing of goes from its socket to windows, rows and pages: the oracle judges them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from playwright.sync_api import Browser, sync_playwright

from agents.alerts.postgres import open_pool
from agents.alerts.recorder import alert_rows
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.model.alert import AlertId
from streams.settings import load_settings
from streams.topics import TRADES
from tests.browser.conftest import CHROMIUM, FLAGS, Visit
from tests.browser.numbers import usd
from tests.conftest import new_database
from tests.faults.processes import Process, wait_until
from tests.oracle import Oracle, OracleTrade, in_usd
from tests.test_end_to_end import agree
from tests.venues.acme.market import PAIR, PERPETUAL, trades
from tests.venues.acme.server import AcmeServer, row_of
from tests.venues.acme.venue import NAME
from tests.view import HOST, View, ask, eventually

ROOT = Path(__file__).parents[3]
MODULE = "tests.venues.acme.venue"
SECONDS = 60


@dataclass
class Traded:
    """A worker that has counted Acme's trades, and the judge of them."""

    worker: Process
    oracle: Oracle
    postgres: dict[str, Any]


@pytest.fixture(scope="module")
def traded(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traded]:
    """Send trades through socket, producer and broker; the worker is another one from their middle on.

    The last of them come as rows of JSON, as other tools publish them.
    """
    given = trades(1)
    postgres = new_database(postgres_server)
    # As an operator would: a directory on the path, a module by name.
    directory, path = tmp_path_factory.mktemp("acme"), str(ROOT)
    with View(directory, postgres, VENUES=MODULE, PYTHONPATH=path) as view, AcmeServer().running() as server:
        worker = view.start()
        own = {"ACME_URL": server.url, "ACME_SYMBOLS": f"{PAIR},{PERPETUAL}"}
        nothing = {"FEED": "live", "SPOT_SYMBOLS": "", "FUTURES_SYMBOLS": ""}
        producer = view.producer("producer", environment={**nothing, **own}).start()
        producer.wait_ready()
        wait_until(lambda: server.listening == {PAIR, PERPETUAL}, SECONDS, "Acme's feed to listen")
        # What the feed cannot read costs nothing but itself.
        for text in ('{"t":[{"pair":"PF_BTC","n":"x"}]}', "x", "[]"):
            server.say(text)
        wait_until(lambda: producer.metric("liqmon_dead_letters_total", reason="not_json") == 1, SECONDS, "a letter")
        wait_until(lambda: producer.metric("liqmon_dead_letters_total", reason="wrong_type") == 2, SECONDS, "two")
        half, rest = given[:300], given[300:580]
        for start in range(0, len(half), 20):
            server.publish(half[start : start + 20])
        view.settle([worker], len(half))
        worker.stop_well()
        worker.start()
        worker.wait_ready()
        for start in range(0, len(rest), 20):
            server.publish(rest[start : start + 20])
        view.settle([worker], len(rest))
        asyncio.run(publish_rows(view.broker.address, given[580:]))
        view.settle([worker], len(given) - len(half))
        assert worker.metric("liqmon_dead_letters_total") == 0
        yield Traded(worker, Oracle(given), postgres)


async def publish_rows(broker: str, rows: list[OracleTrade]) -> None:
    """Publish trades as other tools do, one row of JSON a message; every second one names its venue."""
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    for number, trade in enumerate(rows):
        row = row_of(trade) | ({"venue": NAME} if number % 2 else {})
        await producer.send(TRADES, msgspec.json.encode(row), key=trade.symbol.encode())
    await producer.stop()


def test_windows_are_the_oracles(traded: Traded) -> None:
    """Each figure of each window, of both kinds of market."""
    rows = ask(traded.worker.port, "/api/windows", {"venue": NAME}).json
    assert {row["symbol"] for row in rows} == {PAIR, PERPETUAL}
    for row in rows:
        end = traded.oracle.watermark(NAME, row["symbol"])
        figures = traded.oracle.window(NAME, row["symbol"], end, row["window_seconds"])
        assert figures is not None
        wanted = in_usd(figures)
        assert {name: row[name] for name in wanted} == wanted


def test_panes_hold_ids_of_both_widths(traded: Traded) -> None:
    """Integers and 128-bit values, each where its kind of market has them."""
    for symbol in (PAIR, PERPETUAL):
        rows = ask(traded.worker.port, "/api/panes", {"venue": NAME, "symbol": symbol, "from": 0}).json["rows"]
        wanted = traded.oracle.panes(NAME, symbol)
        assert [row["pane"] for row in rows] == list(wanted)
        for row in rows:
            numbers = wanted[row["pane"]]["ids"]
            if symbol == PERPETUAL:
                assert row["ids"] == [str(UUID(int=number)) for number in numbers]
            else:
                assert [n for low, high in row["ids"] for n in range(low, high + 1)] == numbers


def test_rows_are_the_oracles(traded: Traded) -> None:
    """Pairs by volume, perpetuals by what is labelled, to the last digit, each once."""
    expected = traded.oracle.alerts()
    assert {(alert["rule"], alert["symbol"]) for alert in expected} == {("volume", PAIR), ("liquidation", PERPETUAL)}
    assert len(expected) > 2
    eventually(lambda: len(ask(traded.worker.port, "/api/alerts").json) == len(expected), "the alerts' rows")

    async def read() -> tuple[list[dict[str, Any]], int]:
        pool: asyncpg.Pool = await open_pool(load_settings(**traded.postgres))
        try:
            identities = [AlertId(alert["rule"], NAME, alert["symbol"], alert["pane"]) for alert in expected]
            rows = await alert_rows(pool, identities)
            return rows, await pool.fetchval("SELECT count(*) FROM liquidation_alerts")
        finally:
            await pool.close()

    rows, count = asyncio.run(read())
    assert count == len(expected)
    for symbol in (PAIR, PERPETUAL):
        agree(
            [row for row in rows if row["symbol"] == symbol],
            [alert for alert in expected if alert["symbol"] == symbol],
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give the browser, whose loop keeps this thread from having another: what needs one comes before."""
    if CHROMIUM is None:
        pytest.skip("not covered: Acme's pages (Chromium is not installed: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("symbol", "rule"), [(PAIR, "volume"), (PERPETUAL, "liquidation")])
def test_pages_show_its_markets(traded: Traded, browser: Browser, symbol: str, rule: str) -> None:
    """On the overview and on a page of their own, by their rule, with the oracle's figures."""
    visit = Visit(browser.new_page(), f"http://{HOST}:{traded.worker.port}")
    row = visit.go("/").page.locator(f'.row[data-symbol="{symbol}"]')
    row.wait_for()
    figures = traded.oracle.window(NAME, symbol, traded.oracle.watermark(NAME, symbol), 300)
    assert figures is not None
    assert row.locator("[role=gridcell]").first.inner_text().split("\n") == [symbol, "Acme Exchange"]
    last_price = row.locator("[role=gridcell]").nth(1).inner_text().split("\n")[0]
    assert float(last_price.replace(",", "")) == figures["last_price"]
    page = visit.go(f"/market?venue={NAME}&symbol={symbol}").page
    page.wait_for_function("() => document.getElementById('fact-volume').textContent.startsWith('$')")
    assert visit.text("#fact-volume") == usd(figures["total_volume_micro_usd"] / 1e6)
    assert {one.get_attribute("data-rule") for one in page.locator("[data-rule]").all()} == {rule}
    assert visit.text("#venue") == "Acme Exchange"
    assert visit.errors == visit.foreign == []
    visit.page.close()
