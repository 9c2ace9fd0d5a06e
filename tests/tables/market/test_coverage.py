"""Since when a market's panes are all there, through restarts, other settings and other releases."""

import msgspec
import pytest

from tables.market.chunks import CorruptState, Head, decode_head, encode
from tables.market.coverage import SINCE, covering
from tables.market.formats import NewerState, Tail
from tables.market.span import Span
from tables.market.state import Market
from tests.tables.market.moves import START, add
from tests.tables.market.test_state import stored

SPAN = Span(window=5, retention=200, slack=100)
LONGER = Span(window=5, retention=1000, slack=100)


def counted(*panes: int, span: Span = SPAN) -> Market:
    """Return a market with a trade in each of these panes, in this order."""
    market = Market("v", "BTC/USD", span)
    for trade_id, pane in enumerate(panes, 1):
        add(market, pane, trade_id, 5)
    return market


def restored(head: Head, span: Span = SPAN) -> Market:
    """Return the market that another worker makes of a head."""
    market = Market("v", "BTC/USD", span)
    market.restore(head, [])
    return market


def test_counting_begins_with_the_first_trade() -> None:
    """However far the clock moves on, and whatever comes late."""
    market = Market("v", "BTC/USD", SPAN)
    assert market.covered_since is None
    market = counted(START, START + 3, START - 2, START + 500)
    assert market.covered_since == START


def test_it_survives_a_restart() -> None:
    """Of this worker or another, as often as that happens."""
    head = stored(counted(START, START + 500))
    assert restored(head).covered_since == START
    assert restored(stored(restored(head))).covered_since == START


def test_longer_windows_begin_where_panes_were_kept() -> None:
    """What an earlier setting threw away is in no window, though counting began long before."""
    head = stored(counted(START, START + 500))
    assert restored(head, LONGER).covered_since == START + 500 - SPAN.retention + 1
    assert restored(stored(restored(head, LONGER)), LONGER).covered_since == START + 500 - SPAN.retention + 1
    young = stored(counted(START, START + 50))
    assert restored(young, LONGER).covered_since == START


def test_a_market_that_is_turned_back_lacks_what_had_left_while_its_clock_ran_ahead() -> None:
    """Those panes are gone, also where an earlier release began the state and nobody knows since when it counts."""
    gone = START + 300 - SPAN.retention
    market = counted(START, START + 150, START + 300)
    assert market.turn_back(START + 200)
    assert market.covered_since == gone + 1
    market = counted(START, START + 150, START + 300)
    market.covered_since = None
    assert market.turn_back(START + 200)
    assert market.covered_since == gone + 1
    young = counted(START + 150, START + 300)
    assert young.turn_back(START + 200)
    assert young.covered_since == START + 150


def test_a_state_that_an_earlier_release_began_does_not_say() -> None:
    """Nobody wrote it down, and nobody makes it up afterwards."""
    head = stored(counted(START))
    old = msgspec.structs.replace(head, tail=head.tail.without(SINCE))
    market = restored(old)
    add(market, START + 9, 9, 5)
    assert market.covered_since is None
    assert SINCE not in stored(market).tail.more


def test_it_takes_few_bytes() -> None:
    """A head is written with every flush."""
    head = stored(counted(START))
    old = msgspec.structs.replace(head, tail=head.tail.without(SINCE))
    assert len(encode(head)) - len(encode(old)) <= 20


@pytest.mark.parametrize("value", [7, [], [1], ["1", 2], [1, None]], ids=repr)
def test_what_is_no_such_addition_is_corrupt(value: object) -> None:
    """The line names the key."""
    head = Head(1, 2, {}, [], Tail({SINCE: msgspec.Raw(msgspec.msgpack.encode(value))}))
    with pytest.raises(CorruptState, match="some key"):
        decode_head(b"some key", encode(head))


def test_a_longer_addition_is_of_a_newer_release() -> None:
    """It could not be written back here."""
    head = Head(1, 2, {}, [], Tail({SINCE: msgspec.Raw(msgspec.msgpack.encode([1, 2, 3]))}))
    with pytest.raises(NewerState, match="since has 3 items"):
        decode_head(b"k", encode(head))
    assert decode_head(b"k", encode(Head(1, 2, {}, [], Tail(covering(1, 2))))).tail.more.keys() == {SINCE}
