"""The simulated markets: repeatable, lively, and labelled."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import BadRecord
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.venues.simulator.exchange import SimulatedExchange
from streams.venues.simulator.instruments import Instrument, simulated_instruments
from tests.kraken import FUTURES, SPOT

START_US = 1_760_000_000_000_000
SPOT_SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")
FUTURES_SYMBOLS = ("PF_XBTUSD", "PF_ETHUSD", "PI_XBTUSD")
SEEDS = range(5)


def instruments(spot: Sequence[str] = SPOT_SYMBOLS, futures: Sequence[str] = FUTURES_SYMBOLS) -> list[Instrument]:
    """Return what is traded, as the settings would name it."""
    return simulated_instruments(load_settings(spot_symbols=tuple(spot), futures_symbols=tuple(futures)))


def exchange(seed: int = 1, rate: float = 100.0) -> SimulatedExchange:
    """Return an exchange of the default symbols."""
    return SimulatedExchange(
        seed=seed,
        start_us=START_US,
        instruments=instruments(),
        trades_per_second=rate,
    )


def run(seconds: float, seed: int = 1, rate: float = 100.0) -> tuple[SimulatedExchange, list[Trade]]:
    """Return an exchange and what it traded in its first seconds."""
    made = exchange(seed, rate)
    return made, made.step(START_US + int(seconds * 1e6))


def notional(trade: Trade) -> Decimal:
    """Return what the trade is worth in USD, by the product's own rule."""
    return trade.quantity if trade.symbol.startswith("PI_") else trade.quantity * trade.price


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=3_000_000), min_size=1, max_size=20))
def test_the_same_seed_gives_the_same_trades_however_it_is_stepped(steps: list[int]) -> None:
    """No wall clock and no caller's rhythm inside the model."""
    stepped, now_us, trades = exchange(), START_US, []
    for step in steps:
        now_us += step
        trades += stepped.step(now_us)
    at_once = exchange()
    assert trades == at_once.step(now_us)
    assert stepped.cascades == at_once.cascades


def test_another_seed_is_another_market() -> None:
    """The seed matters."""
    assert run(5, seed=1)[1] != run(5, seed=2)[1]


@pytest.mark.parametrize("rate", [20.0, 100.0, 1000.0])
def test_the_rate_is_about_what_was_asked_for(rate: float) -> None:
    """Over all markets and a minute, within a third; cascades come on top."""
    _, trades = run(60, rate=rate)
    fills = [trade for trade in trades if trade.kind is Kind.FILL]
    assert 0.66 < len(fills) / 60 / rate < 1.33 + 5 / rate


def test_spot_ids_are_consecutive_and_futures_ids_unique() -> None:
    """As the venue's are."""
    _, trades = run(20)
    by_symbol = defaultdict(list)
    for trade in trades:
        by_symbol[trade.symbol].append(trade)
    for symbol in SPOT_SYMBOLS:
        ids = [trade.trade_id for trade in by_symbol[symbol]]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    uids = [trade.trade_id for trade in trades if trade.venue == FUTURES]
    assert len(uids) == len(set(uids))


@pytest.mark.parametrize("seed", SEEDS)
def test_cascades_come_early_and_regularly(seed: int) -> None:
    """The first within 10 s, then one every 45 to 90 s."""
    made, _ = run(400, seed=seed, rate=20)
    starts = [(cascade.start_us - START_US) / 1e6 for cascade in made.cascades]
    assert starts[0] <= 10
    assert all(45 <= later - earlier <= 91 for earlier, later in pairwise(starts))


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_tell_what_was_liquidated(seed: int) -> None:
    """Symbol, side, count and notional of the label are those of the trades; and it crosses the default threshold."""
    made, trades = run(300, seed=seed, rate=20)
    labelled = [trade for trade in trades if trade.kind is Kind.LIQUIDATION]
    for cascade in made.cascades[:-1]:
        mine = [
            trade
            for trade in labelled
            if trade.symbol == cascade.symbol and cascade.start_us <= trade.time_us <= cascade.end_us
        ]
        assert {trade.side for trade in mine} == {cascade.side}
        assert (sum(map(notional, mine)), len(mine)) == (cascade.notional_usd, cascade.trades)
        assert cascade.notional_usd >= 250_000
        assert cascade.victims == ("longs" if cascade.side is Side.SELL else "shorts")


@pytest.mark.parametrize("seed", SEEDS)
def test_spot_crosses_the_volume_threshold_in_a_cascade_and_not_before(seed: int) -> None:
    """Quiet markets stay below 1 M USD in five minutes; the first cascade's coin passes it at once."""
    made, trades = run(25, seed=seed)
    first = made.cascades[0]
    before, during = Decimal(0), Decimal(0)
    for trade in trades:
        if trade.venue == SPOT and trade.symbol == first.spot_symbol:
            if trade.time_us < first.start_us:
                before += notional(trade)
            elif trade.time_us <= first.end_us:
                during += notional(trade)
    assert before < 100_000
    assert during > 1_000_000


def test_prices_move_with_the_cascade() -> None:
    """Liquidated longs push the price down, liquidated shorts up."""
    for seed in SEEDS:
        made, trades = run(25, seed=seed)
        first = made.cascades[0]
        prices = [
            trade.price
            for trade in trades
            if trade.symbol == first.symbol and first.start_us <= trade.time_us <= first.end_us
        ]
        assert (prices[-1] > prices[0]) == (first.side is Side.BUY)


def test_sizes_are_heavy_tailed_and_arrivals_bursty() -> None:
    """A few trades make much of the volume, and seconds differ more than a steady stream's would."""
    _, trades = run(120)
    sizes = sorted(notional(trade) for trade in trades if trade.symbol == "ETH/USD")
    assert sum(sizes[-len(sizes) // 10 :]) > sum(sizes) / 2
    seconds: dict[int, int] = defaultdict(int)
    for trade in trades:
        seconds[trade.time_us // 1_000_000] += 1
    mean = len(trades) / len(seconds)
    variance = sum((count - mean) ** 2 for count in seconds.values()) / len(seconds)
    assert variance > 2 * mean


def test_any_symbol_has_a_market_but_no_product_of_unknown_notional() -> None:
    """Prices of coins that are not known are made up; a product that the monitor refuses cannot be traded."""
    made = SimulatedExchange(seed=1, start_us=START_US, instruments=instruments(["NEWCOIN/USD"], ["PF_NEWCOINUSD"]))
    assert {trade.symbol for trade in made.step(START_US + 20_000_000)} == {"NEWCOIN/USD", "PF_NEWCOINUSD"}
    with pytest.raises(BadRecord):
        instruments([], ["PV_XRPXBT"])
