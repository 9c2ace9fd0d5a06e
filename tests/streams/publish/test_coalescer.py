"""How trades are grouped into frames."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.trade import Kind, Side, Trade
from streams.publish import coalescer as coalescing
from streams.publish.coalescer import MAX_RECEIPT_SPREAD_US, Coalescer, Group
from streams.venues.kraken.products import SPOT_PRODUCT

MARKETS = [("kraken_spot", "BTC/USD"), ("kraken_spot", "ETH/USD"), ("other", "BTC/USD")]
NOON_US = 1_700_000_000_000_000


def trade(trade_id: int, market: int = 0) -> Trade:
    """Return a trade of one of the markets."""
    return Trade(*MARKETS[market], trade_id, Side.BUY, Kind.FILL, Decimal(1), Decimal(1), NOON_US, SPOT_PRODUCT)


def ids(groups: list[Group]) -> list[list[int]]:
    """Return each group's trade ids."""
    return [[trade.trade_id for trade in group.trades] for group in groups]


@given(
    batches=st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=30),
    steps_us=st.lists(st.integers(0, 400), min_size=30, max_size=30),
    max_trades=st.integers(1, 7),
    linger_us=st.integers(0, 1000),
    alone_us=st.none() | st.integers(0, 1000),
)
def test_every_trade_comes_out_once_in_order_and_in_time(
    batches: list[list[int]], steps_us: list[int], max_trades: int, linger_us: int, alone_us: int | None
) -> None:
    """Whatever comes in: each market's order is kept, no frame is larger than allowed, none waits beyond the linger."""
    coalescer = Coalescer(max_trades, linger_us, alone_us)
    now_us, number = 0, 0
    came: dict[tuple[str, str], list[int]] = {market: [] for market in MARKETS}
    went: dict[tuple[str, str], list[int]] = {market: [] for market in MARKETS}

    def take(groups: list[Group]) -> None:
        for group in groups:
            assert 1 <= len(group.trades) <= max_trades
            assert {(one.venue, one.symbol) for one in group.trades} == {(group.venue, group.symbol)}
            went[group.venue, group.symbol] += [one.trade_id for one in group.trades]

    for markets, step_us in zip(batches, steps_us, strict=False):
        now_us += step_us
        take(coalescer.due(now_us))
        due_us = coalescer.next_due_us()
        assert due_us is None or now_us < due_us <= now_us + linger_us
        trades = []
        for market in markets:
            number += 1
            trades.append(trade(number, market))
            came[MARKETS[market]].append(number)
        take(coalescer.add(trades, NOON_US + now_us, now_us))
        assert coalescer.waiting == sum(map(len, came.values())) - sum(map(len, went.values()))
    take(coalescer.flush())
    assert went == came
    assert coalescer.waiting == 0
    assert coalescer.next_due_us() is None


def test_one_trade_a_frame_means_one() -> None:
    """A limit of 1 gives every trade a frame of its own, at once."""
    assert ids(Coalescer(1, 1000).add([trade(1), trade(2), trade(3)], NOON_US, 0)) == [[1], [2], [3]]


def test_a_full_frame_goes_at_once_and_the_rest_waits() -> None:
    """Seven trades at three a frame: two frames now, one trade later."""
    coalescer = Coalescer(3, 1000)
    assert ids(coalescer.add([trade(number) for number in range(7)], NOON_US, 0)) == [[0, 1, 2], [3, 4, 5]]
    assert coalescer.due(999) == []
    assert ids(coalescer.due(1000)) == [[6]]


def test_a_frame_is_as_old_as_its_first_trade() -> None:
    """Latency is measured from the receipt of the first trade, so no waiting is hidden."""
    coalescer = Coalescer(10, 5000)
    coalescer.add([trade(1)], NOON_US, 0)
    coalescer.add([trade(2)], NOON_US + 4000, 4000)
    (group,) = coalescer.due(5000)
    assert group.received_us == NOON_US
    assert ids([group]) == [[1, 2]]


def test_messages_received_far_apart_do_not_share_a_frame() -> None:
    """In a fast replay of recorded receipt times a frame's one receipt time stays true to all its trades."""
    coalescer = Coalescer(10, 5000)
    coalescer.add([trade(1)], NOON_US, 0)
    later_us = NOON_US + MAX_RECEIPT_SPREAD_US + 1
    assert ids(coalescer.add([trade(2)], later_us, 1)) == [[1]]
    (group,) = coalescer.flush()
    assert (group.received_us, ids([group])) == (later_us, [[2]])


def test_only_a_busy_market_keeps_its_trades_waiting() -> None:
    """A market that had nothing for the linger is released at once; the next trades, which come sooner, gather."""
    coalescer = Coalescer(10, 5000, 1000)
    coalescer.add([trade(1), trade(2, market=1)], NOON_US, 100_000)
    assert ids(coalescer.due(101_000)) == [[1], [2]]
    coalescer.add([trade(3)], NOON_US, 102_000)
    assert coalescer.next_due_us() == 107_000
    coalescer.add([trade(4, market=1)], NOON_US, 105_500)
    assert coalescer.next_due_us() == 106_500
    coalescer.add([trade(5)], NOON_US, 106_000)
    assert ids(coalescer.due(106_500)) == [[4]]
    assert ids(coalescer.due(107_000)) == [[3, 5]]
    coalescer.add([trade(6)], NOON_US, 111_001)
    assert coalescer.next_due_us() == 112_001


def test_memory_of_markets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound each counts as one that had nothing."""
    monkeypatch.setattr(coalescing, "MAX_REMEMBERED", 2)
    coalescer = Coalescer(10, 5000, 1000)
    for market in (0, 1, 2):
        coalescer.add([trade(market, market)], NOON_US, 0)
    coalescer.flush()
    coalescer.add([trade(3)], NOON_US, 1)
    assert coalescer.next_due_us() == 1001
