"""What the worker does by the clock: samples and measures, and never stops for what goes wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from agents.stats import sampler as sampler_module
from agents.stats.sampler import Sampler, samples
from agents.stats.window_stats import WindowSample
from streams import metrics
from streams.settings import load_settings
from tables.market.state import Market, Span
from tests.trades import BTC, NOON
from tests.waiting import until


def a_market(symbol: str = BTC, seconds: range = range(100)) -> Market:
    """Return a market with a trade of a dollar in each of these seconds."""
    market = Market("kraken_spot", symbol, Span(300, 4200))
    for second in seconds:
        pane = market.open_pane(NOON + second)
        assert pane is not None
        pane.add_trade(second, (NOON + second) * 10**6, 100.0 + second, 10**6, 0, 1, 0, 1, False)
        market.counted(NOON + second, pane, 10**6, 0)
    return market


class App:
    """What the sampler sees of the application."""

    def __init__(self) -> None:
        self.kept = [a_market()]
        self.taken: list[WindowSample] = []
        self.ends: dict[TP, int] = {}
        self.error: Exception | None = None
        self.keeper = SimpleNamespace(markets=lambda: iter([(0, market) for market in self.kept]))
        self.sinks = SimpleNamespace(sample=self._sample)
        self.consumer = SimpleNamespace(
            assignment=lambda: set(self.ends), log_ends=self._log_ends, _committed_offset={TP("trades", 1): 40}
        )
        self.source_topics = frozenset({"trades"})

    async def _sample(self, taken: list[WindowSample]) -> None:
        if self.error:
            raise self.error
        self.taken += taken

    async def _log_ends(self, tps: list[TP], _timeout_seconds: float) -> dict[TP, int]:
        if self.error:
            raise self.error
        return {tp: self.ends[tp] for tp in tps}


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Give what starts a sampler of fast clocks for an application."""
    monkeypatch.setattr(sampler_module, "LAG_SECONDS", 0.01)
    samplers: list[Sampler] = []

    async def start(app: App, **changes: Any) -> Sampler:
        sampler = Sampler(app, load_settings(stats_interval_seconds=0.01, **changes))
        samplers.append(sampler)
        await sampler.start()
        return sampler

    yield start
    for sampler in samplers:
        await sampler.stop()


def test_a_sample_is_the_window_at_the_last_trade() -> None:
    """Stamped with the interval it falls in, so that one taken twice is one row."""
    first, second = (samples([a_market()], (10, 300), now, 10) for now in (NOON + 203.5, NOON + 209.9))
    assert first == second
    short, long = first
    assert (short.sampled_at, short.window_seconds, short.window_end) == (NOON + 200, 10, NOON + 100)
    figures = short.figures
    assert (figures.count, figures.total_volume_micro_usd) == (10, 10 * 10**6)
    assert (figures.first_price, figures.last_price, figures.high, figures.low) == (190, 199, 199, 190)
    assert long.figures.count == 100


def test_a_market_that_never_traded_is_not_sampled() -> None:
    """All of its messages were refused."""
    assert samples([Market("kraken_spot", "X/USD", Span(300, 4200))], (60, 300), NOON, 10) == []


async def test_every_window_of_every_market_is_sampled(started: Callable[..., Any]) -> None:
    """Those that are shown and the rules' own."""
    app = App()
    app.kept.append(a_market("ETH/USD"))
    await started(app, windows=(60, 900), window_seconds=120)
    await until(lambda: app.taken)
    assert {(sample.symbol, sample.window_seconds) for sample in app.taken} == {
        (symbol, seconds) for symbol in (BTC, "ETH/USD") for seconds in (60, 120, 900)
    }


def lag() -> dict[str, float]:
    """Return the lag by partition as it is exported."""
    return {
        sample.labels["partition"]: sample.value
        for metric in metrics.consumer_lag.collect()
        for sample in metric.samples
    }


async def test_lag_and_table_sizes_are_measured(started: Callable[..., Any]) -> None:
    """Of the source topics only; a partition that has moved is another worker's to report."""
    app = App()
    app.ends = {TP("trades", 1): 50, TP("trades", 2): 7, TP("changelog", 1): 1000}
    await started(app)
    await until(lambda: lag() == {"1": 10, "2": 7})
    chunks = len(app.kept[0].chunks)
    assert metrics.table_keys.labels("panes")._value.get() == chunks + 1
    assert metrics.table_bytes.labels("panes")._value.get() > chunks * 1000
    del app.ends[TP("trades", 2)]
    await until(lambda: lag() == {"1": 10})


@pytest.mark.parametrize("error", [KafkaConnectionError(), OSError("gone"), ZeroDivisionError("a bug")])
async def test_what_goes_wrong_is_said_and_the_clock_goes_on(
    started: Callable[..., Any], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker never stops, nor goes blind, because a measurement failed."""
    app = App()
    app.ends = {TP("trades", 1): 45}
    app.error = error
    metrics.consumer_lag.clear()
    with caplog.at_level(logging.WARNING):
        await started(app)
        await until(lambda: "sample" in caplog.text and "measure" in caplog.text)
    assert app.taken == []
    app.error = None
    await until(lambda: app.taken and lag() == {"1": 5})


async def test_stopping_ends_the_clocks(started: Callable[..., Any]) -> None:
    """Nothing runs on."""
    sampler = await started(App())
    await sampler.stop()
    assert all(task.done() for task in sampler._tasks)
    await asyncio.sleep(0)
