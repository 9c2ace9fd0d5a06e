"""Markets that trade by themselves: seeded, deterministic, and without a clock of their own.

Prices walk at random, orders arrive in bursts and sweep several trades, sizes are heavy-tailed. Now and then a cascade
liquidates positions on a futures product, while the volume of the same coin surges on spot. Each cascade has a label,
so that what the monitor reports can be compared with what happened.
"""

import heapq
import math
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from streams.model.trade import Kind, Side, Trade
from streams.venues.simulator.instruments import Instrument

# Prices move and orders arrive by ticks. Shorter ones make no difference that a window of a second would show.
TICK_US: Final = 100_000
_DAY_TICKS: Final = 86_400_000_000 // TICK_US

# The busiest market trades 400 000 USD in five minutes while it is quiet, well below the default thresholds.
_CALM_USD_PER_SECOND: Final = 400_000 / 300
# Sizes are log-normal: with this spread, a tenth of the trades makes more than half of the volume.
_SIZE_SIGMA: Final = 1.5
# Trades that an order takes from the book, on average: half of the orders take one, and every second has a sweep.
_SWEEP_MEAN: Final = 2.0

# The default thresholds. A cascade exceeds them by a factor of 1.3 up to _MOST_MULTIPLE.
_LIQUIDATION_USD: Final = 250_000.0
_SURGE_USD: Final = 1_000_000.0
# CRITICAL begins at ten times the threshold: the largest cascades reach it.
_MOST_MULTIPLE: Final = 14.0


@dataclass(slots=True)
class Cascade:
    """A label: what one run of liquidations did.

    ``side`` is the taker's: SELL where longs were liquidated. ``notional_usd`` and ``trades`` count the trades
    labelled ``liquidation`` so far; times are microseconds UTC.
    """

    symbol: str
    spot_symbol: str
    side: Side
    start_us: int
    end_us: int
    notional_usd: Decimal = Decimal(0)
    trades: int = 0

    @property
    def victims(self) -> str:
        """Who is being liquidated: ``longs`` or ``shorts``."""
        return "longs" if self.side is Side.SELL else "shorts"


@dataclass(order=True, slots=True)
class _Planned:
    """An order of a cascade, waiting for its time."""

    time_us: int
    number: int
    instrument: Instrument = field(compare=False)
    side: Side = field(compare=False)
    notional_usd: float = field(compare=False)
    label: Cascade | None = field(compare=False)


@dataclass(slots=True)
class _Price:
    """The shared price process of a coin, as a log distance from its start."""

    volatility: float
    distance: float = 0.0
    push: float = 0.0
    push_ticks: int = 0

    def advance(self, rng: random.Random) -> None:
        self.distance += rng.gauss(0.0, self.volatility) - self.distance * 2e-4
        if self.push_ticks > 0:
            self.distance += self.push
            self.push_ticks -= 1


class SimulatedExchange:
    """Simulated spot and futures markets.

    The same ``seed``, ``start_us`` and instruments give the same trades, however :meth:`step` is called.
    ``trades_per_second`` is the average over all markets; the first cascade begins 4 to 8 seconds after
    ``quiet_seconds``, then one every 45 to 90 seconds. ``cascades`` lists the labels, oldest first.
    """

    def __init__(
        self,
        *,
        seed: int,
        start_us: int,
        instruments: Sequence[Instrument],
        trades_per_second: float = 100.0,
        quiet_seconds: float = 0.0,
    ) -> None:
        self.instruments = list(instruments)
        self.cascades: list[Cascade] = []
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, repeatable on purpose
        self._now_us = start_us
        self._weights = sum(instrument.weight for instrument in self.instruments)
        self._rate = trades_per_second
        self._prices = {
            instrument.base: _Price(instrument.daily_volatility / math.sqrt(_DAY_TICKS))
            for instrument in self.instruments
        }
        self._heat = {instrument.symbol: 0.0 for instrument in self.instruments}
        # Ids grow over restarts as the venue's do: they begin at a number that the start time gives.
        self._next_id = {instrument.symbol: start_us // 1000 for instrument in self.instruments}
        self._planned: list[_Planned] = []
        self._numbers = 0
        self._next_cascade_us = start_us + int((quiet_seconds + self._rng.uniform(4, 8)) * 1e6)

    def step(self, until_us: int) -> list[Trade]:
        """Return the trades from where the last step ended to the last whole tick before ``until_us``, by time."""
        trades: list[Trade] = []
        while self._now_us + TICK_US <= until_us:
            end_us = self._now_us + TICK_US
            if self._now_us >= self._next_cascade_us:
                self._begin_cascade()
            for price in self._prices.values():
                price.advance(self._rng)
            orders = [order for instrument in self.instruments for order in self._arrivals(instrument)]
            while self._planned and self._planned[0].time_us < end_us:
                orders.append(heapq.heappop(self._planned))
            for order in sorted(orders):
                trades += self._execute(order)
            self._now_us = end_us
        return trades

    def _arrivals(self, instrument: Instrument) -> Iterator[_Planned]:
        heat = self._heat[instrument.symbol] * 0.98 + self._rng.gauss(0.0, 0.2)
        self._heat[instrument.symbol] = heat
        # exp(heat) averages exp(variance / 2); dividing by it keeps the rate that was asked for.
        burst = math.exp(heat - 0.5 * 0.2**2 / (1 - 0.98**2))
        rate = self._rate * instrument.weight / self._weights
        calm = _CALM_USD_PER_SECOND * instrument.weight / 4.0
        mean_usd = max(calm / rate, 1.0)
        for _ in range(_poisson(self._rng, rate * burst * TICK_US / 1e6 / _SWEEP_MEAN)):
            side = Side.BUY if self._rng.random() < 0.5 else Side.SELL
            notional = _heavy(self._rng, mean_usd * _SWEEP_MEAN)
            yield self._plan(self._now_us + self._rng.randrange(TICK_US), instrument, side, notional, None)

    def _plan(
        self, time_us: int, instrument: Instrument, side: Side, notional_usd: float, label: Cascade | None
    ) -> _Planned:
        self._numbers += 1
        return _Planned(time_us, self._numbers, instrument, side, notional_usd, label)

    def _execute(self, order: _Planned) -> Iterator[Trade]:
        """Let the order sweep the book: several trades, each at a worse price, within a millisecond."""
        instrument, label = order.instrument, order.label
        sweeps = 1
        while label is None and sweeps < 12 and self._rng.random() < 1 - 1 / _SWEEP_MEAN:
            sweeps += 1
        mid = instrument.start_price * math.exp(self._prices[instrument.base].distance)
        direction = 1 if order.side is Side.BUY else -1
        for number in range(sweeps):
            price = instrument.price(mid * (1 + direction * (1e-5 + number * 5e-6)))
            quantity = instrument.quantity(order.notional_usd / sweeps, price)
            time_us = order.time_us + number * 40
            if instrument.is_labelled:
                time_us -= time_us % 1000
            if label is not None:
                label.notional_usd += instrument.notional(price, quantity)
                label.trades += 1
            kind = Kind.FILL if label is None else Kind.LIQUIDATION
            yield Trade(
                instrument.venue,
                instrument.symbol,
                self._identity(instrument),
                order.side,
                kind,
                price,
                quantity,
                time_us,
                instrument.product,
            )

    def _identity(self, instrument: Instrument) -> int:
        if instrument.product.kind.has_wide_ids:
            return uuid.UUID(int=self._rng.getrandbits(128), version=4).int
        self._next_id[instrument.symbol] += 1
        return self._next_id[instrument.symbol]

    def _begin_cascade(self) -> None:
        start_us = self._now_us
        self._next_cascade_us = start_us + int(self._rng.uniform(45, 90) * 1e6)
        futures = [instrument for instrument in self.instruments if instrument.is_labelled]
        spot = [instrument for instrument in self.instruments if not instrument.is_labelled]
        chosen = self._rng.choice(futures) if futures else None
        base = chosen.base if chosen else self._rng.choice(spot).base
        surging = next((instrument for instrument in spot if instrument.base == base), None)
        side = self._rng.choice((Side.BUY, Side.SELL))
        ticks = self._rng.randrange(50, 110)
        end_us = start_us + ticks * TICK_US
        multiple = min(1.3 * self._rng.paretovariate(1.1), _MOST_MULTIPLE)
        process = self._prices[base]
        process.push_ticks = ticks
        process.push = (1 if side is Side.BUY else -1) * 0.004 * math.sqrt(multiple) / ticks
        if chosen:
            label = Cascade(chosen.symbol, surging.symbol if surging else "", side, start_us, end_us)
            self.cascades.append(label)
            self._plan_run(chosen, label, side, _LIQUIDATION_USD * multiple, end_us)
        if surging:
            self._plan_run(surging, None, side, _SURGE_USD * min(multiple, 6.0), end_us)

    def _plan_run(
        self, instrument: Instrument, label: Cascade | None, side: Side, total_usd: float, end_us: int
    ) -> None:
        count = self._rng.randrange(30, 80)
        shares = [_heavy(self._rng, 1.0) for _ in range(count)]
        whole = sum(shares)
        for share in shares:
            # Squaring a uniform number puts most of a cascade at its beginning.
            time_us = self._now_us + int((end_us - self._now_us) * self._rng.random() ** 2)
            heapq.heappush(self._planned, self._plan(time_us, instrument, side, total_usd * share / whole, label))


def _heavy(rng: random.Random, mean: float) -> float:
    return mean * rng.lognormvariate(-(_SIZE_SIGMA**2) / 2, _SIZE_SIGMA)


def _poisson(rng: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, product, least = 0, rng.random(), math.exp(-mean)
    while product > least:
        count += 1
        product *= rng.random()
    return count
