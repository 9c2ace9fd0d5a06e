"""What the worker does by the clock: window samples for dashboards, table sizes and consumer lag. Decides nothing."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from agents.stats.window_stats import WindowSample
from streams import metrics
from streams.settings import Settings
from streams.tasks import cancelled
from streams.topics import ALERTS, TRADES
from tables.market.rolling import Rolling
from tables.market.state import Market

log = logging.getLogger(__name__)

# As often as Prometheus scrapes (prometheus/prometheus.yml).
LAG_SECONDS: Final = 5.0
# After so long others have a turn. A market that nobody has looked at yet takes 5 ms with windows of an hour.
STEP_SECONDS: Final = 0.002
SIZES_A_STEP: Final = 50
# Shorter than the interval, so that a silent broker does not delay the next measurement.
BROKER_SECONDS: Final = 4.0


def samples(rolling: Rolling, windows: Sequence[int], now: float, interval_seconds: float) -> Iterator[WindowSample]:
    """Yield a sample of each window of a market, stamped with the interval ``now`` falls in."""
    market = rolling.market
    sampled_at = int(now // interval_seconds * interval_seconds)
    for seconds, figures in zip(windows, rolling.figures(), strict=True):
        yield WindowSample(
            sampled_at=sampled_at,
            venue=market.venue,
            symbol=market.symbol,
            window_seconds=seconds,
            window_end=market.watermark + 1,
            figures=figures,
        )


class KeptWindows(Protocol):
    """The windows that the worker keeps for all who look at them. ``windows`` are their lengths, shortest first."""

    windows: tuple[int, ...]
    is_kept: bool

    def rollings(self) -> Sequence[tuple[int, Rolling]]:
        """Return (partition, windows) of every market that has traded."""
        ...


class SampledWorker(Protocol):
    """All that the sampler sees of its worker."""

    def now(self) -> float:
        """Return the time, unix seconds, by the clock that counts."""
        ...

    def markets(self) -> Iterator[tuple[int, Market]]:
        """Yield (partition, market) of everything in memory."""
        ...

    async def sample(self, samples: list[WindowSample]) -> None:
        """Write samples of windows for dashboards; dropped while Postgres is away."""
        ...

    async def lags(self, topics: Collection[str], within_seconds: float) -> Mapping[tuple[str, int], int]:
        """Return the messages between what is committed and the end, by (topic, partition), of what is assigned here.

        Raises :class:`TimeoutError`, and what Kafka's client raises.
        """
        ...


class Sampler:
    """Runs beside the agents. A failure is logged and never stops the worker."""

    def __init__(self, worker: SampledWorker, served: KeptWindows, settings: Settings) -> None:
        self._worker = worker
        self._served = served
        self._settings = settings
        self._rested: dict[tuple[str, str], tuple[int, float]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to sample windows every ``STATS_INTERVAL_SECONDS``, and to measure lag and table sizes."""
        self._served.is_kept = True
        metrics.markets.set_function(lambda: sum(1 for _ in self._worker.markets()))
        self._tasks = [
            asyncio.create_task(self._every(self._settings.stats_interval_seconds, "sample", self._sample)),
            asyncio.create_task(self._every(LAG_SECONDS, "measure", self._measure)),
        ]

    async def stop(self) -> None:
        await cancelled(*self._tasks)

    async def _every(self, seconds: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (KafkaError, OSError) as error:
                log.warning("%s was skipped: %s", what, str(error) or type(error).__name__)
            except Exception:
                log.exception("%s failed; it is tried again in %g s", what, seconds)

    async def _sample(self) -> None:
        interval = self._settings.stats_interval_seconds
        # A few at a time: many markets must not hold up the stream.
        taken: list[WindowSample] = []
        now = self._worker.now()
        moving = self._moving([rolling for _, rolling in self._served.rollings()], time.monotonic())
        began = time.perf_counter()
        for rolling in moving:
            taken += samples(rolling, self._served.windows, now, interval)
            if time.perf_counter() - began > STEP_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()
        await self._worker.sample(taken)

    def _moving(self, rollings: Iterable[Rolling], now: float) -> list[Rolling]:
        """Return the markets that heard of a trade within the longest window: what rests would be told for ever."""
        known, self._rested = self._rested, {}
        moving = []
        for rolling in rollings:
            market = rolling.market
            name = (market.venue, market.symbol)
            offset, since = known.get(name, (None, now))
            if offset != market.offset:
                since = now
            self._rested[name] = (market.offset, since)
            if now - since <= self._served.windows[-1]:
                moving.append(rolling)
        return moving

    async def _measure(self) -> None:
        markets = [market for _, market in self._worker.markets()]
        metrics.table_keys.labels("panes").set(sum(len(market.chunks) + 1 for market in markets))
        size = 0
        for number, market in enumerate(markets, 1):
            size += sum(chunk.size for chunk in market.chunks.values())
            if number % SIZES_A_STEP == 0:
                await asyncio.sleep(0)
        metrics.table_bytes.labels("panes").set(size)
        lags = await self._worker.lags((TRADES, ALERTS), BROKER_SECONDS)
        # Partitions that moved are another worker's to report.
        metrics.consumer_lag.clear()
        for (topic, partition), lag in lags.items():
            metrics.consumer_lag.labels(topic, str(partition)).set(lag)
