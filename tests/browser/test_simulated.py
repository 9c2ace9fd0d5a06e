"""Pages that are open while a simulated Kraken trades: sockets, producer, broker, worker, browser."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import pytest

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.model.trade import Trade
from streams.settings import load_settings
from streams.venues.simulator.exchange import SimulatedExchange
from streams.venues.simulator.instruments import simulated_instruments
from tests.browser.conftest import Open
from tests.browser.overview import assert_row
from tests.browser.prompt import ATTEMPTS, is_in_time, shown_at, watch
from tests.browser.starved import Starved
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.kraken import SPOT
from tests.kraken_server import ScriptedKraken
from tests.oracle import Oracle, OracleTrade
from tests.view import View, ask, eventually

SPOT_SYMBOLS = ("BTC/USD", "ETH/USD")
FUTURES_SYMBOLS = ("PF_XBTUSD", "PF_ETHUSD")
STEP_SECONDS = 0.05
CALL_SECONDS = 30
PUSHED_SECONDS = 5
# What the pages have to follow after the alert: some seconds of the cascade.
MORE_TRADES = 500

T = TypeVar("T")


class Simulation:
    """A simulated Kraken in a loop of its own, since a browser's test has one; ``trades`` is what it has traded."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.server = ScriptedKraken()
        self.trades: list[OracleTrade] = []
        self._loop = loop
        self._trading: asyncio.Task[None] | None = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    async def begin(self) -> None:
        """Trade from now on, as ``liqmon simulate`` does."""
        self._trading = asyncio.create_task(self._trade())

    async def end(self) -> None:
        """Trade no more."""
        if self._trading is not None:
            self._trading.cancel()
            await asyncio.gather(self._trading, return_exceptions=True)

    async def _trade(self) -> None:
        exchange = SimulatedExchange(
            seed=3,
            start_us=time.time_ns() // 1000,
            instruments=simulated_instruments(
                load_settings(spot_symbols=SPOT_SYMBOLS, futures_symbols=FUTURES_SYMBOLS)
            ),
            trades_per_second=150,
        )
        while True:
            step = exchange.step(time.time_ns() // 1000)
            self.trades += map(as_judged, step)
            # What was counted as traded is sent, also when trading ends meanwhile.
            await asyncio.shield(self.server.publish(step))
            await asyncio.sleep(STEP_SECONDS)


@contextmanager
def simulation() -> Iterator[Simulation]:
    """Give a server that listens and does not trade yet."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulation")
    thread.start()
    simulated = Simulation(loop)
    try:
        simulated.call(simulated.server.start())
        yield simulated
    finally:
        simulated.call(simulated.end())
        simulated.call(simulated.server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def as_judged(trade: Trade) -> OracleTrade:
    """Return a trade of the simulator as the oracle takes it, in what Kraken's messages hold of it."""
    is_spot = trade.venue == SPOT
    return OracleTrade(
        venue=trade.venue,
        symbol=trade.symbol,
        id=trade.trade_id if is_spot else str(UUID(int=trade.trade_id)),
        side=trade.side.name.lower(),
        kind=trade.kind.name.lower(),
        price=trade.price,
        qty=trade.quantity,
        time_us=trade.time_us if is_spot else trade.time_us // 1000 * 1000,
    )


@pytest.fixture
def view(postgres_server: EmbeddedPostgres, tmp_path: Any) -> Iterator[View]:
    """Give a stack to start processes on."""
    with View(tmp_path, new_database(postgres_server)) as view:
        yield view


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_open_pages_follow_a_simulated_market_through_a_cascade(view: View, visit: Open) -> None:
    """An alert appears within 1 s of its row; at the end pages, API, rows and the oracle say the same.

    Where the machine was too busy to tell, the next alert is measured.
    """
    worker = view.start()
    with simulation() as kraken:
        environment = {
            "FEED": "live",
            "SPOT_WS_URL": kraken.server.spot_url,
            "FUTURES_WS_URL": kraken.server.futures_url,
            "SPOT_SYMBOLS": ",".join(SPOT_SYMBOLS),
            "FUTURES_SYMBOLS": ",".join(FUTURES_SYMBOLS),
        }
        view.producer("producer", environment=environment).start().wait_ready()
        overview, history = visit(worker.port).page, visit(worker.port, "/alerts").page
        watch(overview, ".toast")
        watch(history, ".alert-row")
        kraken.call(kraken.begin())
        for _ in range(ATTEMPTS):
            with Starved() as starved:
                words = next_alert(worker)
                row_at = time.time()
                places = ((overview, ".toast"), (history, ".alert-row"))
                shown = max(shown_at(page, selector, *words) for page, selector in places)
            if is_in_time(row_at, shown, starved):
                break
        else:
            pytest.fail(f"the machine was too busy to measure {ATTEMPTS} times in a row")
        seen = len(kraken.trades)
        view.settle([worker], seen + MORE_TRADES)
        kraken.call(kraken.end())
        view.settle([worker], len(kraken.trades))
    oracle = Oracle(kraken.trades)
    expected = {(alert["symbol"], alert["rule"], alert["pane"], alert["count"]) for alert in oracle.alerts()}

    def alerts() -> set[tuple[str, str, int, int]]:
        rows = ask(worker.port, "/api/alerts").json
        return {(row["symbol"], row["rule"], row["pane"], row["count"]) for row in rows}

    eventually(lambda: alerts() == expected, "the alerts' rows")
    history.wait_for_function(f"() => document.querySelectorAll('.alert-row').length === {len(expected)}")
    rows = {row["symbol"]: row for row in ask(worker.port, "/api/windows", {"window_seconds": 300}).json}
    assert sorted((row["venue"], symbol) for symbol, row in rows.items()) == sorted(oracle.markets())
    for venue, symbol in oracle.markets():
        figures = oracle.window(venue, symbol, oracle.watermark(venue, symbol), 300)
        assert figures is not None
        assert rows[symbol]["count"] == figures["count"]
        assert rows[symbol]["total_volume_usd"] == figures["total_volume_micro_usd"] / 1e6
        soon(partial(assert_row, overview, oracle, venue, symbol))


def next_alert(worker: Process) -> tuple[str, str]:
    """Wait for the row of an alert that was not there before; return what tells it from others on a page."""

    def alerts() -> set[tuple[str, str]]:
        return {(row["symbol"], row["alert_severity"]) for row in ask(worker.port, "/api/alerts").json}

    found: set[tuple[str, str]] = set()
    known = alerts()

    def has_come() -> bool:
        found.update(alerts() - known)
        return bool(found)

    eventually(has_come, "the alert of a cascade", 60)
    return min(found)


def soon(check: Callable[[], None]) -> None:
    """Hold what a page shows to be right within the seconds that its next pushes take."""

    def holds() -> bool:
        try:
            check()
        except AssertionError:
            return False
        return True

    try:
        eventually(holds, "the page to be right", PUSHED_SECONDS)
    except TimeoutError:
        check()
