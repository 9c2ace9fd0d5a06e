"""Copies in Redis stand in for workers that do not answer, and nothing that is in there breaks the view."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from streams import keys
from streams.errors import Outage
from streams.model.trade import Side
from streams.redis_link import RedisLink
from streams.settings import load_settings
from tables import live
from tables.live import LiveWindows, live_link
from tables.market.episodes import Mark
from tables.market.values import FIGURE_NAMES, figure_values
from tables.serving import LatestAlert, ServedMarkets
from tables.web.api.rows import MarketRow
from tables.web.cluster.copies import MARKETS_A_CALL, Copies, Copy
from tables.web.cluster.local import LocalRows
from tables.web.stream.board import Board, Key
from tests.faults.proxy import Proxy
from tests.made_up_rules import SellShare
from tests.tables.test_live import PATIENT_SECONDS
from tests.trades import NOON
from tests.worker import HERE, WINDOWS, MemoryWorker

OTHER_SETTINGS: dict[str, Any] = {"windows": (60, 120), "window_seconds": 120, "liquidation_threshold_usd": 5}


@pytest.fixture
def worker() -> MemoryWorker:
    """Give a worker with two rules that writes its markets, and is then asked for no more."""
    return MemoryWorker(price_move_pct=2)


@pytest.fixture
async def link(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisLink]:
    """Give a link to the Redis."""
    monkeypatch.setattr(live, "DEADLINE_SECONDS", PATIENT_SECONDS)
    link = live_link(load_settings(redis_url=redis_url))
    assert link is not None
    await link.open(wait_seconds=PATIENT_SECONDS)
    yield link
    await link.close()


@pytest.fixture
async def copies(link: RedisLink, worker: MemoryWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Copies]:
    """Give the reader, beside a writer that writes every 10 ms."""
    monkeypatch.setattr(live, "WRITE_SECONDS", 0.01)
    served = ServedMarkets(worker)
    writer = LiveWindows(link, served)
    await writer.start()
    yield Copies(link, served)
    await writer.stop()


async def read(copies: Copies, partition: int = 0) -> dict[str, Copy]:
    """Return the copies of a partition by symbol."""
    return {copy.symbol: copy async for some in copies.read(partition) for copy in some}


async def test_a_copy_is_what_its_worker_answered(copies: Copies, worker: MemoryWorker) -> None:
    """Every figure in every bit, the latest alert, and where it comes from with its age."""
    worker.market("BTC/USD", 2).marks["volume"] = [Mark(NOON, 1, NOON), Mark(NOON + 5, 3, NOON)]
    worker.market("BTC/USD", 2).marks["price_move"] = [Mark(NOON + 100, 1, NOON + 100)]
    moved = LatestAlert("price_move", NOON + 100, "LOW", NOON + 100, True)
    mark = LatestAlert("volume", NOON + 5, "HIGH", NOON, True)
    for second, price in enumerate((100.1, 99.7, 103.3)):
        market = worker.trade("BTC/USD", second * 50, price, partition=2)
    await written(copies, worker)
    found = await read(copies, 2)
    copy = found["BTC/USD"]
    for row, seconds in zip(copies.window_rows(copy), WINDOWS, strict=True):
        figures = dict(zip(FIGURE_NAMES, figure_values(market.figures(market.watermark, seconds)), strict=True))
        assert {name: getattr(row, name) for name in FIGURE_NAMES} == figures
        assert (row.window_start, row.window_end) == (NOON + 101 - seconds, NOON + 101)
        assert (row.source, row.owner, row.partition) == ("redis", HERE, 2)
        assert row.copy_age_seconds is not None
        assert 0 <= row.copy_age_seconds < 30
        assert row.age_seconds is not None
    whole = copies.market_row(copy)
    assert (whole.offset, whole.pane, whole.latest_alert, whole.copied) == (3, NOON + 100, mark, copy.updated_at)
    assert [(one.rule, one.alert) for one in whole.judgements] == [("price_move", moved), ("volume", mark)]
    assert [one.measured for one in whole.judgements] == [
        int(market.figures(market.watermark, 300).price_change_pct * 10**9) / 10**9,
        market.figures(market.watermark, 300).total_volume_micro_usd / 1e6,
    ]
    assert whole.amount_usd == market.figures(market.watermark, 300).total_volume_micro_usd / 1e6
    assert await read(copies, 0) == {}


async def test_an_owners_windows_and_rules_are_its_own(copies: Copies, worker: MemoryWorker, link: RedisLink) -> None:
    """A worker with other settings shows what the owner has: windows, steps, and what each rule measured of which."""
    market = worker.trade("BTC/USD")
    await written(copies, worker)
    others = Copies(link, ServedMarkets(MemoryWorker(**OTHER_SETTINGS)))
    copy = (await read(others))["BTC/USD"]
    rows = {row.window_seconds: row for row in others.window_rows(copy)}
    assert {seconds: row.window_start for seconds, row in rows.items()} == {60: NOON - 59, 300: NOON - 299}
    whole = others.market_row(copy)
    assert dict(zip(whole.window_seconds, whole.windows, strict=True)) == {
        seconds: figure_values(market.figures(market.watermark, seconds)) for seconds in WINDOWS
    }
    ((partition, rolling),) = ServedMarkets(worker).rollings()
    owners = LocalRows(ServedMarkets(worker)).market_row(partition, rolling)
    assert whole.judgements == owners.judgements
    assert [(one.rule, one.threshold, one.window_seconds) for one in whole.judgements] == [
        ("price_move", 2.0, 300),
        ("volume", 1e6, 300),
    ]
    assert [seconds for seconds, row in rows.items() if row.judgements] == [300]
    assert (whole.threshold_usd, whole.amount_usd) == (owners.threshold_usd, owners.amount_usd) == (1e6, 100.0)


async def test_a_copy_of_an_earlier_release_is_judged_here(
    copies: Copies, worker: MemoryWorker, link: RedisLink, redis_url: str
) -> None:
    """It does not say its owner's rules, nor since when it counted."""
    worker.trade("BTC/USD")
    await written(copies, worker)
    server = redis.Redis.from_url(redis_url)
    server.hdel(keys.window("kraken_spot", "BTC/USD"), "rules", "covered_since")
    others = Copies(link, ServedMarkets(MemoryWorker(**OTHER_SETTINGS)))
    row = others.market_row((await read(others))["BTC/USD"])
    assert [(one.rule, one.threshold, one.measured, one.window_seconds) for one in row.judgements] == [
        ("volume", 5.0, None, 120)
    ]
    assert row.covered_since is None


async def test_a_copy_says_since_when_its_owner_counted(copies: Copies, worker: MemoryWorker) -> None:
    """In the rows of windows, and in the market's."""
    worker.trade("BTC/USD", 0)
    worker.trade("BTC/USD", 30)
    await written(copies, worker)
    copy = (await read(copies))["BTC/USD"]
    assert copies.market_row(copy).covered_since == NOON
    assert {row.covered_since for row in copies.window_rows(copy)} == {NOON}


async def test_a_copy_says_how_many_trades_are_missing(copies: Copies, worker: MemoryWorker) -> None:
    """As its owner did; nothing where the venue does not number its trades."""
    worker.is_numbered = True
    worker.trade("BTC/USD", 0)
    worker.trades += 3
    worker.trade("BTC/USD", 100)
    worker.trade("BTC/USD", 200)
    worker.trade("PF_XBTUSD", 0)
    await written(copies, worker)
    found = await read(copies)
    assert copies.market_row(found["BTC/USD"]).missing_trades == [0, 3]
    assert [row.missing_trades for row in copies.window_rows(found["BTC/USD"])] == [0, 3]
    assert copies.market_row(found["PF_XBTUSD"]).missing_trades is None


async def written(copies: Copies, worker: MemoryWorker) -> None:
    """Wait until Redis has every market of the worker as it is now."""
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Copy] = {}
            for partition in {partition for partition, _ in worker.markets()}:
                found |= await read(copies, partition)
            if {market.symbol: market.offset for _, market in worker.markets()} == {
                symbol: copy.offset for symbol, copy in found.items()
            }:
                return
            await asyncio.sleep(0.005)


async def test_only_a_further_rule_may_have_an_alert(copies: Copies, worker: MemoryWorker) -> None:
    """It stands under its own name, and the rule in USD has none."""
    worker.market("BTC/USD").marks["price_move"] = [Mark(NOON, 2, NOON)]
    worker.trade("BTC/USD")
    await written(copies, worker)
    copy = (await read(copies))["BTC/USD"]
    assert list(copy.alerts) == ["price_move"]
    assert copies.market_row(copy).latest_alert is None


async def test_a_rule_may_measure_what_no_figure_of_the_table_is(link: RedisLink) -> None:
    """Whoever reads the copy measures it, as its owner did."""
    worker = MemoryWorker(further=[SellShare])
    worker.trade("BTC/USD", 0, 100.1)
    worker.trade("BTC/USD", 1, 300.7, side=Side.SELL)
    served = ServedMarkets(worker)
    writer = LiveWindows(link, served)
    await writer.start()
    copies = Copies(link, served)
    await written(copies, worker)
    ((partition, rolling),) = served.rollings()
    owners = LocalRows(served)
    copy = (await read(copies))["BTC/USD"]
    assert copies.market_row(copy).judgements == owners.market_row(partition, rolling).judgements
    assert [row.judgements for row in copies.window_rows(copy)] == [
        row.judgements for row in owners.windows_of(partition, rolling)
    ]
    await writer.stop()


async def test_a_copy_tells_of_an_alert_that_was_taken_back(copies: Copies, worker: MemoryWorker) -> None:
    """It is not open, and said to be taken back."""
    worker.market("BTC/USD").marks["price_move"] = [Mark(NOON, 2, NOON)]
    worker.trade("BTC/USD")
    await written(copies, worker)
    found = (await read(copies))["BTC/USD"].alerts
    assert found == {"price_move": LatestAlert("price_move", NOON, "MEDIUM", NOON, False, True)}


async def test_there_may_be_many(copies: Copies, worker: MemoryWorker) -> None:
    """More than one call carries: each market comes once."""
    for number in range(3 * MARKETS_A_CALL + 1):
        worker.trade(f"S{number}/USD")
    await written(copies, worker)
    assert len([copy async for some in copies.read(0) for copy in some]) == 3 * MARKETS_A_CALL + 1


async def test_what_expired_is_not_there(copies: Copies, worker: MemoryWorker, redis_url: str) -> None:
    """A hash that is gone is no market, and its key leaves the list with a later writing."""
    server = redis.Redis.from_url(redis_url)
    gone = keys.window("kraken_spot", "GONE/USD")
    server.zadd(keys.windows_of(0), {gone: 1.0})
    assert await read(copies) == {}
    worker.trade("BTC/USD")
    await written(copies, worker)
    assert server.zrange(keys.windows_of(0), 0, -1) == [keys.window("kraken_spot", "BTC/USD").encode()]
    assert 50 < server.ttl(keys.windows_of(0)) <= 60


@pytest.mark.parametrize(
    ("field", "value"),
    [("offset", "x"), ("300.vwap", "nan"), ("300.vwap", "inf"), ("300.count", "1.5"), ("60.high", ""), ("symbol", None),
     ("300.low", None), ("partition", "1"), ("alert_pane", "x"), ("alert.x.pane", "1"), ("updated_at", b"\xff\xfe"),
     ("covered_since", "x"), ("rules", "{"), ("rules", "[]"), ("missing_trades", "[1]"),
     ("missing_trades", "x")],
)  # fmt: skip
async def test_what_makes_no_sense_is_left_out(
    copies: Copies, worker: MemoryWorker, redis_url: str, field: str, value: str | None
) -> None:
    """Whoever wrote it: the other markets are read."""
    worker.trade("BTC/USD")
    worker.trade("ETH/USD")
    await written(copies, worker)
    server = redis.Redis.from_url(redis_url)
    if value is None:
        server.hdel(keys.window("kraken_spot", "BTC/USD"), field)
    else:
        server.hset(keys.window("kraken_spot", "BTC/USD"), field, value)
    assert list(await read(copies)) == ["ETH/USD"]


async def test_a_redis_that_hangs_is_given_up_at_once(
    redis_url: str, worker: MemoryWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline once; after that nobody waits until it answers again."""
    # Long enough for the answer before it hangs, on a busy machine too.
    monkeypatch.setattr(live, "DEADLINE_SECONDS", 1)
    async with Proxy(urlsplit(redis_url).port or 0) as network:
        link = live_link(load_settings(redis_url=f"redis://{network.address}/0"))
        assert link is not None
        await link.open(wait_seconds=PATIENT_SECONDS)
        copies = Copies(link, ServedMarkets(worker))
        assert await read(copies) == {}
        network.hold()
        with pytest.raises(Outage):
            await read(copies)
        assert not copies.available
        await link.close()


async def test_without_redis_there_are_none(worker: MemoryWorker) -> None:
    """Nothing is read, and it is known that nothing could be."""
    copies = Copies(None, ServedMarkets(worker))
    assert not copies.is_configured
    assert await read(copies) == {}


class TestOnTheBoard:
    """What a copy may replace."""

    def row(self, offset: int, copied: float | None, owner: str = "http://a") -> MarketRow:
        return MarketRow("venue", "A", owner, 0, offset, None, 0, "volume", 1.0, 0.5, None, [], copied)

    def shown(self, board: Board) -> tuple[int, float | None]:
        board.publish()
        data = next(part for part in board.since(-1).split(b"\n") if part.startswith(b"data: "))
        (row,) = json.loads(data.removeprefix(b"data: "))
        return row["offset"], row["copied"]

    def test_it_fills_a_gap_and_follows_later_copies(self) -> None:
        """A later copy of the same state says that its owner lived longer."""
        board = Board()
        board.put_copy(self.row(5, 100.0))
        assert self.shown(board) == (5, 100.0)
        board.put_copy(self.row(5, 120.0))
        assert self.shown(board) == (5, 120.0)
        board.put_copy(self.row(4, 130.0))
        assert self.shown(board) == (5, 120.0)

    def test_a_workers_word_counts_more(self) -> None:
        """What a worker said stays until a copy knows more; what a worker says replaces any copy."""
        board = Board()
        board.put_row(self.row(5, None))
        board.put_copy(self.row(5, 100.0))
        assert self.shown(board) == (5, None)
        board.put_copy(self.row(6, 100.0))
        assert self.shown(board) == (6, 100.0)
        raw = msgspec.json.encode(self.row(5, None, "http://b"))
        board.put_peer_row(msgspec.json.decode(raw, type=Key), raw, lambda url: url == "http://b")
        assert self.shown(board) == (5, None)
