"""Live windows in Redis: the latest figures of every market, for any reader."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from tables import live
from tables.live import LiveWindows, live_link
from tables.market.episodes import Mark
from tables.market.values import FIGURE_NAMES, figure_values
from tables.serving import ServedMarkets
from tests.conftest import new_database
from tests.faults.processes import Process, wait_until
from tests.faults.proxy import Proxy
from tests.figures_page import PAGE
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.said import said_by
from tests.trades import NOON
from tests.view import View, ask, eventually
from tests.waiting import until
from tests.worker import HERE, WINDOWS, MemoryWorker

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
# A busy machine must not look like a Redis that is away.
PATIENT_SECONDS = 5.0


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    """Give the Redis itself."""
    return redis.Redis.from_url(redis_url, decode_responses=True)


@pytest.fixture
def worker() -> MemoryWorker:
    """Give a worker with two rules a market."""
    return MemoryWorker(price_move_pct=2)


@pytest.fixture
async def writer(redis_url: str, worker: MemoryWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveWindows]:
    """Give a writer that writes every 10 ms."""
    monkeypatch.setattr(live, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(live, "DEADLINE_SECONDS", PATIENT_SECONDS)
    writer = LiveWindows(live_link(load_settings(redis_url=redis_url)), ServedMarkets(worker))
    await writer.start()
    yield writer
    await writer.stop()


def window_of(server: redis.Redis, symbol: str) -> dict[str, str]:
    """Return a market's hash."""
    found: dict[str, str] = server.hgetall(f"liqmon:window:kraken_spot:{symbol}")  # type: ignore[assignment]
    return found


@pytest.mark.usefixtures("writer")
class TestContent:
    """What a reader finds."""

    async def test_every_window_has_the_figures_of_memory(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """In every bit: numbers are written so that reading them gives the same double."""
        for second, price in enumerate((100.1, 99.7, 103.3, 1e-7, 7e7)):
            market = worker.trade("BTC/USD", second * 50, price)
        await until(lambda: window_of(server, "BTC/USD").get("offset") == "5")
        found = window_of(server, "BTC/USD")
        for seconds in WINDOWS:
            figures = figure_values(market.figures(market.watermark, seconds))
            assert [float(found[f"{seconds}.{name}"]) for name in FIGURE_NAMES] == figures

    async def test_the_market_and_its_owner_are_named(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """Whose it is, how far it goes, and how old it is, by the clock that counts: the machine's is ahead."""
        worker.ahead_seconds = 300.0
        worker.trade("BTC/USD", 7, 105.5, partition=3)
        await until(lambda: window_of(server, "BTC/USD"))
        found = window_of(server, "BTC/USD")
        assert abs(time.time() - 300 - float(found.pop("updated_at"))) < 5
        fixed = {name: value for name, value in found.items() if "." not in name}
        rules = json.loads(fixed.pop("rules"))
        assert [(one["name"], one["threshold"], one["steps"][-1]) for one in rules["rules"]] == [
            ("price_move", 2.0, 20.0),
            ("volume", 1e6, 1e7),
        ]
        assert (rules["measured"], rules["window_seconds"]) == ({"price_move": 0.0, "volume": 105.5}, 300)
        assert fixed == {
            "venue": "kraken_spot",
            "symbol": "BTC/USD",
            "owner": HERE,
            "partition": "3",
            "offset": "1",
            "watermark": str(NOON + 7),
            "received_at": f"{NOON + 7}.250",
            "last_price": "105.5",
            "covered_since": str(NOON + 7),
        }

    async def test_each_rule_has_its_latest_alert(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """The rule in USD under the names that it always had, any other under its own."""
        for second, price in ((-20, 100.0), (-10, 104.0)):
            worker.trade("BTC/USD", second, price)
        market = worker.trade("BTC/USD", 0, 110.0)
        market.marks["volume"] = [Mark(NOON, 1, NOON)]
        market.marks["price_move"] = [Mark(NOON - 10, 2, NOON - 10), Mark(NOON, 3, NOON - 10)]
        await until(lambda: window_of(server, "BTC/USD"))
        found = {name: value for name, value in window_of(server, "BTC/USD").items() if name.startswith("alert")}
        assert found == {
            "alert_rule": "volume",
            "alert_pane": str(NOON),
            "alert_severity": "LOW",
            "alert_episode": str(NOON),
            "alert_open": "1",
            "alert.price_move.pane": str(NOON),
            "alert.price_move.severity": "HIGH",
            "alert.price_move.episode": str(NOON - 10),
            "alert.price_move.open": "1",
        }

    async def test_an_alert_that_was_taken_back_says_so(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """And is not open; what stands has no such field."""
        market = worker.trade("BTC/USD")
        market.marks["price_move"] = [Mark(NOON, 3, NOON)]
        await until(lambda: window_of(server, "BTC/USD"))
        found = window_of(server, "BTC/USD")
        assert (found["alert.price_move.open"], found["alert.price_move.retracted"]) == ("0", "1")

    async def test_every_field_is_documented(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """In docs/redis.md, the figures of a window in docs/figures.md."""
        for rule in ("volume", "price_move"):
            worker.market("BTC/USD").marks[rule] = [Mark(NOON, 3, NOON - 60)]
        worker.trade("BTC/USD")
        await until(lambda: window_of(server, "BTC/USD"))
        assert window_of(server, "BTC/USD")["alert_severity"] == "HIGH"
        fields, figures = DOCUMENT.read_text(), PAGE.read_text()
        for name in window_of(server, "BTC/USD"):
            first, _, last = name.rpartition(".")
            assert f"`{last}`" in (figures if first.isdecimal() else fields)

    async def test_it_expires_when_nobody_writes_it(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """A market whose worker died is gone after a minute."""
        worker.trade("BTC/USD")
        await until(lambda: window_of(server, "BTC/USD"))
        assert 50 < server.ttl("liqmon:window:kraken_spot:BTC/USD") <= 60


class TestWriting:
    """When it is written, and when not."""

    @pytest.mark.usefixtures("writer")
    async def test_what_changed_is_written_and_nothing_else(self, worker: MemoryWorker, server: redis.Redis) -> None:
        """A quiet market costs nothing between two touches."""
        worker.trade("BTC/USD")
        worker.trade("ETH/USD")
        await until(lambda: window_of(server, "ETH/USD"))
        quiet = window_of(server, "BTC/USD")["updated_at"]
        for second in range(1, 6):
            market = worker.trade("ETH/USD", second)
            await until(lambda market=market: window_of(server, "ETH/USD")["offset"] == str(market.offset))  # type: ignore[misc]
        assert window_of(server, "BTC/USD")["updated_at"] == quiet

    @pytest.mark.usefixtures("writer")
    async def test_a_quiet_market_is_touched_before_it_expires(
        self, worker: MemoryWorker, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It still has an owner, and its windows are what they are."""
        monkeypatch.setattr(live, "TOUCH_SECONDS", 0.05)
        worker.trade("BTC/USD")
        await until(lambda: window_of(server, "BTC/USD"))
        first = window_of(server, "BTC/USD")["updated_at"]
        await until(lambda: window_of(server, "BTC/USD")["updated_at"] != first)

    @pytest.mark.usefixtures("writer")
    async def test_a_worker_that_lost_the_partition_changes_nothing(
        self, worker: MemoryWorker, server: redis.Redis, redis_url: str
    ) -> None:
        """Its offset is lower; of another partition's log offsets say nothing, and the last writer counts."""
        for second in range(5):
            worker.trade("BTC/USD", second)
            worker.trade("ETH/USD", second)
        await until(lambda: window_of(server, "ETH/USD").get("offset") == "10")
        stale = MemoryWorker(address="http://frozen")
        stale.trade("BTC/USD", 1)
        stale.trade("ETH/USD", 1, partition=1)
        waking = LiveWindows(live_link(load_settings(redis_url=redis_url)), ServedMarkets(stale))
        await waking.start()
        await until(lambda: window_of(server, "ETH/USD")["owner"] == "http://frozen")
        assert window_of(server, "BTC/USD")["owner"] == HERE
        await waking.stop()

    @pytest.mark.usefixtures("writer")
    async def test_every_market_has_its_turn(
        self, worker: MemoryWorker, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However little of the time may be spent: those that have waited longest go first."""
        monkeypatch.setattr(live, "BUDGET_SECONDS", 0.0001)
        for number in range(60):
            worker.trade(f"S{number}/USD")
        for _ in range(3):
            for number in range(5):
                worker.trade(f"S{number}/USD")
            await asyncio.sleep(0.02)
        await until(lambda: len(server.keys("liqmon:window:*")) == 60)

    async def test_redis_away_costs_live_windows_and_nothing_else(
        self,
        redis_url: str,
        server: redis.Redis,
        worker: MemoryWorker,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Said once; written again when it is back."""
        monkeypatch.setattr(live, "WRITE_SECONDS", 0.01)
        monkeypatch.setattr(live, "DEADLINE_SECONDS", PATIENT_SECONDS)
        monkeypatch.setattr("streams.redis_link.FIRST_PROBE_SECONDS", 0.05)
        monkeypatch.setattr("streams.redis_link.LAST_PROBE_SECONDS", 0.05)
        caplog.set_level(logging.INFO, "streams.redis_news")
        async with Proxy(urlsplit(redis_url).port or 0) as network:
            link = live_link(load_settings(redis_url=f"redis://{network.address}/0"))
            writer = LiveWindows(link, ServedMarkets(worker))
            await writer.start()
            worker.trade("BTC/USD")
            await until(lambda: window_of(server, "BTC/USD"))
            await network.refuse()
            worker.trade("BTC/USD", 1)
            await until(lambda: said_by(caplog, "streams.redis_news"))
            await network.heal()
            await until(lambda: window_of(server, "BTC/USD")["offset"] == "2")
            await writer.stop()
        away, back = said_by(caplog, "streams.redis_news")
        assert "going on without live windows" in away
        assert "answers again" in back

    @pytest.mark.usefixtures("writer")
    async def test_an_error_that_nobody_expected_is_no_end(
        self,
        worker: MemoryWorker,
        server: redis.Redis,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """They are written again when it is over; the log has its traceback once."""
        monkeypatch.setattr(live, "RETRY_SECONDS", 0.01)
        failures = 0

        async def fail(_: Collection[int], _seconds: float) -> None:
            nonlocal failures
            failures += 1
            raise TypeError("'NoneType' object is not callable")

        with monkeypatch.context() as broken:
            broken.setattr(worker, "preload", fail)
            worker.trade("BTC/USD")
            await until(lambda: failures > 5)
        await until(lambda: window_of(server, "BTC/USD").get("offset") == "1")
        assert [bool(record.exc_info) for record in caplog.records] == [True]

    async def test_without_redis_url_nothing_runs(self, worker: MemoryWorker) -> None:
        """No task, no connection."""
        served = ServedMarkets(worker)
        writer = LiveWindows(live_link(load_settings()), served)
        await writer.start()
        assert writer._task is None
        assert not served.is_kept
        await writer.stop()


@pytest.fixture
def view(tmp_path: Path, postgres_server: EmbeddedPostgres, redis_url: str) -> Iterator[View]:
    """Give a stack whose worker writes live windows and keeps its tables in Redis."""
    redis_environment: dict[str, Any] = {"REDIS_URL": redis_url, "TABLE_STORE": redis_url}
    with View(tmp_path, new_database(postgres_server), **redis_environment) as view:
        yield view


def test_a_worker_writes_what_it_answers(view: View, server: redis.Redis) -> None:
    """Its live windows are those of /api/windows and of the oracle; so are they after Redis lost everything.

    With its tables in there too, the worker ends rather than count windows without what is gone; started again, it
    restores them from the changelog.
    """
    trades = SCENARIOS["several markets"](3)
    half = len(trades) // 2
    worker = view.start()
    view.publish(trades[:half])
    view.settle([worker], half)
    eventually(lambda: agree(worker, server, Oracle(trades[:half])), "live windows of the first half")
    wait_until(lambda: is_committed(worker), 30, "everything to be committed")
    server.flushall()
    view.publish(trades[half:])
    assert worker.wait(30) != 0
    assert "start again to restore it from the changelog" in worker.log_text()
    worker.start()
    worker.wait_ready()
    eventually(lambda: agree(worker, server, Oracle(trades)), "live windows of all trades", 30)


def agree(worker: Process, server: redis.Redis, oracle: Oracle) -> bool:
    """Whether live windows and API have the figures of the oracle, all of them."""
    answer = ask(worker.port, "/api/windows").json
    seen = {(row["venue"], row["symbol"], row["window_seconds"]): row for row in answer}
    for venue, symbol in oracle.markets():
        found: dict[str, str] = server.hgetall(f"liqmon:window:{venue}:{symbol}")  # type: ignore[assignment]
        for seconds in (60, 300, 900, 3600):
            row = seen.get((venue, symbol, seconds), {})
            live_figures = [float(found.get(f"{seconds}.{name}", "nan")) for name in FIGURE_NAMES]
            figures = oracle.window(venue, symbol, oracle.watermark(venue, symbol), seconds) or {}
            if live_figures != [row.get(name) for name in FIGURE_NAMES] or row.get("count") != figures.get("count"):
                return False
            if live_figures[FIGURE_NAMES.index("vwap")] != figures["vwap"]:
                return False
    return True


def is_committed(worker: Process) -> bool:
    """Whether nothing is left to read or to flush."""
    return bool(worker.metric("liqmon_flush_seconds_count")) and worker.metric("liqmon_consumer_lag_messages") == 0
