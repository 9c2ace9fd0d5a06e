"""Samples of windows for dashboards: many at once, the same one twice is one row, old ones go."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from agents.stats.window_stats import WindowSample, WindowStats
from streams.errors import BadRecord, Outage
from streams.model.figures import FIGURES
from tables.market.pieces import Walk

NOW = int(time.time()) // 10 * 10
EMPTY = Walk().figures()


def a_sample(
    *, window_seconds: int = 300, sampled_at: int = NOW, symbol: str = "BTC/USD", **changes: Any
) -> WindowSample:
    """Return a sample with these fields and figures."""
    changed = {"count": 3, "total_volume_micro_usd": 1_234_567, "vwap": 10.5, "high": 11.0} | changes
    return WindowSample(
        sampled_at, "kraken_spot", symbol, window_seconds, NOW, msgspec.structs.replace(EMPTY, **changed)
    )


@pytest.fixture
def stats(pool: asyncpg.Pool) -> WindowStats:
    """Give a writer."""
    return WindowStats(pool)


async def test_many_samples_are_written_at_once(pool: asyncpg.Pool, stats: WindowStats) -> None:
    """A thousand windows are a thousand rows, exact to the micro-USD."""
    samples = [a_sample(symbol=f"S{n}/USD", total_volume_micro_usd=n) for n in range(1000)]
    assert await stats.write(samples) == 1000
    row = await pool.fetchrow("SELECT * FROM window_stats WHERE symbol = 'S7/USD'")
    assert (row["total_volume_usd"], row["vwap"], row["count"]) == (Decimal("0.000007"), 10.5, 3)
    assert row["sampled_at"].timestamp() == NOW


async def test_others_have_a_turn_while_many_are_written(stats: WindowStats) -> None:
    """No step of the loop takes more than a fifth of the work, by this thread's processor time."""
    samples = [a_sample(symbol=f"S{n}/USD") for n in range(3000)]
    steps: list[float] = []

    async def watch() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            steps.append(time.thread_time() - before)
            before = time.thread_time()

    watching = asyncio.create_task(watch())
    await stats.write(samples)
    watching.cancel()
    assert max(steps) < sum(steps) / 5


async def test_a_sample_taken_twice_is_one_row(pool: asyncpg.Pool, stats: WindowStats) -> None:
    """Two workers that sample the same market at the same moment, in a rebalance, leave one row."""
    assert await stats.write([a_sample()]) == 1
    assert await stats.write([a_sample(), a_sample(window_seconds=60), a_sample(window_seconds=60)]) == 1
    assert await pool.fetchval("SELECT count(*) FROM window_stats") == 2


async def test_an_empty_window_has_no_prices(pool: asyncpg.Pool, stats: WindowStats) -> None:
    """Without trades there is no price: null, never 0."""
    await stats.write([msgspec.structs.replace(a_sample(), figures=EMPTY)])
    row = await pool.fetchrow("SELECT * FROM window_stats")
    nulls = {name for name, value in row.items() if value is None}
    assert nulls == {figure.name for figure in FIGURES if figure.type.needs_trades}
    assert {"vwap", "low"} <= nulls
    assert (row["count"], row["total_volume_usd"]) == (0, 0)


async def test_nothing_to_write_is_nothing(stats: WindowStats) -> None:
    """An empty list asks Postgres nothing."""
    assert await stats.write([]) == 0


async def test_failures_are_typed(pool: asyncpg.Pool, stats: WindowStats) -> None:
    """A figure that no row can hold is a bad record, a closed pool an outage."""
    with pytest.raises(BadRecord):
        await stats.write([a_sample(count=2**63)])
    await pool.close()
    with pytest.raises(Outage):
        await stats.write([a_sample()])
