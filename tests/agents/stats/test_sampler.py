"""What the worker does by the clock: samples and measures, and never stops for what goes wrong."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from agents.stats import sampler as sampler_module
from agents.stats.sampler import Sampler, samples
from agents.stats.window_stats import WindowSample
from streams import metrics
from streams.settings import load_settings
from tables.market.rolling import Rolling
from tables.market.span import Span
from tables.market.state import Market
from tables.serving import ServedMarkets
from tests.trades import BTC, NOON
from tests.waiting import until
from tests.worker import MemoryWorker


def a_market(symbol: str = BTC, seconds: range = range(100)) -> Market:
    """Return a market with a trade of a dollar in each of these seconds."""
    market = Market("kraken_spot", symbol, Span(300, 4200))
    for second in seconds:
        pane = market.open_pane(NOON + second)
        assert pane is not None
        pane.add_trade(second, (NOON + second) * 10**6, 100.0 + second, 10**6, 0, 1, 0, 1, False)
        market.counted(NOON + second, pane, 10**6, 0)
    return market


class Worker(MemoryWorker):
    """A worker whose answers may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [a_market()]
        self.error: Exception | None = None

    def markets(self) -> Iterator[tuple[int, Market]]:
        return iter([(0, market) for market in self.kept])

    async def sample(self, samples: list[WindowSample]) -> None:
        if self.error:
            raise self.error
        await super().sample(samples)

    async def lags(self, topics: Collection[str], within_seconds: float) -> Mapping[tuple[str, int], int]:
        if self.error:
            raise self.error
        return await super().lags(topics, within_seconds)


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Give what starts a sampler of fast clocks for a worker."""
    monkeypatch.setattr(sampler_module, "LAG_SECONDS", 0.01)
    samplers: list[Sampler] = []

    async def start(worker: Worker, **changes: Any) -> Sampler:
        worker.settings = load_settings(stats_interval_seconds=0.01, **changes)
        sampler = Sampler(worker, ServedMarkets(worker), worker.settings)
        samplers.append(sampler)
        await sampler.start()
        return sampler

    yield start
    for sampler in samplers:
        await sampler.stop()


def test_a_sample_is_the_window_at_the_last_trade() -> None:
    """Stamped with the interval it falls in, so that one taken twice is one row."""
    rolling = Rolling(a_market(), (10, 300))
    first, second = ([*samples(rolling, (10, 300), now, 10)] for now in (NOON + 203.5, NOON + 209.9))
    assert first == second
    short, long = first
    assert (short.sampled_at, short.window_seconds, short.window_end) == (NOON + 200, 10, NOON + 100)
    figures = short.figures
    assert (figures.count, figures.total_volume_micro_usd) == (10, 10 * 10**6)
    assert (figures.first_price, figures.last_price, figures.high, figures.low) == (190, 199, 199, 190)
    assert long.figures.count == 100


async def test_a_market_that_never_traded_is_not_sampled(started: Callable[..., Any]) -> None:
    """All of its messages were refused."""
    worker = Worker()
    worker.kept.append(Market("kraken_spot", "X/USD", Span(300, 4200)))
    await started(worker)
    await until(lambda: worker.samples)
    assert {sample.symbol for sample in worker.samples} == {BTC}


async def test_every_window_of_every_market_is_sampled(started: Callable[..., Any]) -> None:
    """Those that are shown and the rules' own."""
    worker = Worker()
    worker.kept.append(a_market("ETH/USD"))
    await started(worker, windows=(60, 900), window_seconds=120)
    await until(lambda: worker.samples)
    assert {(sample.symbol, sample.window_seconds) for sample in worker.samples} == {
        (symbol, seconds) for symbol in (BTC, "ETH/USD") for seconds in (60, 120, 900)
    }


async def test_a_sample_is_stamped_by_the_clock_that_counts(started: Callable[..., Any]) -> None:
    """The machine's is 5 minutes ahead."""
    worker = Worker()
    worker.ahead_seconds = 300.0
    await started(worker)
    await until(lambda: worker.samples)
    assert {sample.sampled_at for sample in worker.samples} <= {int(time.time()) - 300 - late for late in range(10)}


async def test_a_market_that_rests_is_not_sampled_for_ever(started: Callable[..., Any]) -> None:
    """For as long as the longest window its samples show how it empties; then they would stay the same."""
    worker = Worker()
    worker.kept.append(a_market("ETH/USD"))
    sampler = await started(worker, windows=(60, 900), window_seconds=120)
    await sampler.stop()
    both = resting, moving = [Rolling(market, (60, 120, 900)) for market in worker.kept]
    assert sampler._moving(both, 0.0) == [resting, moving]
    moving.market.offset += 1
    assert sampler._moving(both, 900.0) == [resting, moving]
    assert sampler._moving(both, 901.0) == [moving]
    assert sampler._moving(both, 5000.0) == []
    resting.market.offset += 1
    assert sampler._moving(both, 5001.0) == [resting]
    sampler._moving([], 5002.0)
    assert sampler._rested == {}


def lag() -> dict[str, float]:
    """Return the lag by partition as it is exported."""
    return {
        sample.labels["partition"]: sample.value
        for metric in metrics.consumer_lag.collect()
        for sample in metric.samples
    }


async def test_lag_and_table_sizes_are_measured(started: Callable[..., Any]) -> None:
    """Of the source topics only; a partition that has moved is another worker's to report."""
    worker = Worker()
    worker.lag = {("trades", 1): 10, ("trades", 2): 7, ("changelog", 1): 1000}
    await started(worker)
    await until(lambda: lag() == {"1": 10, "2": 7})
    chunks = len(worker.kept[0].chunks)
    assert metrics.table_keys.labels("panes")._value.get() == chunks + 1
    assert metrics.table_bytes.labels("panes")._value.get() > chunks * 1000
    del worker.lag["trades", 2]
    await until(lambda: lag() == {"1": 10})


@pytest.mark.parametrize("error", [KafkaConnectionError(), OSError("gone"), ZeroDivisionError("a bug")])
async def test_what_goes_wrong_is_said_and_the_clock_goes_on(
    started: Callable[..., Any], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker never stops, nor goes blind, because a measurement failed."""
    worker = Worker()
    worker.lag = {("trades", 1): 5}
    worker.error = error
    metrics.consumer_lag.clear()
    with caplog.at_level(logging.WARNING):
        await started(worker)
        await until(lambda: "sample" in caplog.text and "measure" in caplog.text)
    assert worker.samples == []
    worker.error = None
    await until(lambda: worker.samples and lag() == {"1": 5})


async def test_stopping_ends_the_clocks(started: Callable[..., Any]) -> None:
    """Nothing runs on."""
    sampler = await started(Worker())
    await sampler.stop()
    assert all(task.done() for task in sampler._tasks)
    await asyncio.sleep(0)
