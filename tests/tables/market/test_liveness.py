"""The marks of panes that only snapshots have filled: where they are stored, and what other releases make of them."""

from typing import Any

import msgspec
import pytest

from tables.market.chunk import CHUNK_PANES
from tables.market.chunks import CorruptState, decode_chunk, encode
from tables.market.formats import NO_TAIL
from tables.market.panes import Pane
from tables.market.span import Span
from tables.market.state import Market
from tests.trades import NOON

SPAN = Span(window=300, retention=3600)
FIRST = NOON - NOON % CHUNK_PANES

unpack = msgspec.msgpack.decode
pack = msgspec.msgpack.encode


def a_market(*live: bool) -> Market:
    """Return a market with a trade in each of its first seconds: live, or of a snapshot."""
    market = Market("kraken_spot", "BTC/USD", SPAN)
    for number, is_live in enumerate(live, start=FIRST):
        pane = market.open_pane(number)
        assert pane is not None
        pane.ids += [number, number]
        pane.add_trade(number, number * 10**6, 1.0, 1, 0, 1, 0, 1, False)
        market.mark(number, is_live=is_live)
        market.counted(number, pane, 1, 0)
    return market


def stored(market: Market) -> bytes:
    """Return its only chunk as stored."""
    _, [chunk] = market.take_dirty()
    return encode(chunk)


def loaded(value: bytes) -> Market:
    """Return a market with this chunk."""
    market = Market("kraken_spot", "BTC/USD", SPAN)
    market.restore(None, [decode_chunk(b"k", value)])
    return market


def marks(market: Market, count: int) -> list[bool]:
    """Return which of its first seconds are live."""
    return [market.is_live(number) for number in range(FIRST, FIRST + count)]


def test_a_market_whose_panes_are_live_stores_the_bytes_that_it_always_did() -> None:
    """Nothing follows the panes, also where a live copy came behind a snapshot."""
    market = a_market(True, False, True)
    market.mark(FIRST + 1, is_live=True)
    assert len(unpack(stored(market))) == 3
    chunk = decode_chunk(b"k", stored(a_market(True)))
    assert chunk.tail is NO_TAIL
    assert chunk.quiet == 0


def test_marks_outlive_a_restart() -> None:
    """Those of the newest pane too; a live trade takes a mark away for good."""
    market = loaded(stored(a_market(True, False, True, False)))
    assert marks(market, 5) == [True, False, True, False, False]
    assert market.quiet_panes(FIRST, FIRST + 3) == {FIRST + 1, FIRST + 3}
    assert market.open_pane(FIRST + 3)
    market.mark(FIRST + 3, is_live=True)
    assert marks(loaded(stored(market)), 4) == [True, False, True, True]


def test_a_pane_that_a_release_without_marks_has_changed_counts_as_live() -> None:
    """It writes the marks back as they came; what it counted may have been live."""
    fields = unpack(stored(a_market(False, False)))
    pane = msgspec.convert(fields[2][1], Pane)
    pane.count += 1
    fields[2][1] = pane
    assert marks(loaded(pack(fields)), 2) == [False, True]


def test_marks_that_a_release_dropped_leave_panes_live() -> None:
    """As the first release does, which judges every pane."""
    fields = unpack(stored(a_market(False, True)))
    assert marks(loaded(pack(fields[:3])), 2) == [True, True]


def test_marks_of_panes_that_there_are_not_mean_nothing() -> None:
    """Whatever wrote them."""
    fields = unpack(stored(a_market(False)))
    fields[4] = {"quiet": {0: 1, 5: 1, 99: 1, -3: 0}, "later": "kept"}
    chunk = decode_chunk(b"k", pack(fields))
    assert chunk.quiet == 1
    assert unpack(encode(chunk))[4] == {"quiet": {0: 1}, "later": "kept"}


@pytest.mark.parametrize("value", [[1, 2], "x", {"a": 1}, {1: None}])
def test_marks_that_cannot_be_read_are_corrupt_state(value: Any) -> None:
    """The line names the key."""
    fields = unpack(stored(a_market(False)))
    fields[4] = {"quiet": value}
    with pytest.raises(CorruptState, match="'k'"):
        decode_chunk(b"k", pack(fields))


def test_a_pane_of_ids_alone_is_neither_live_nor_marked() -> None:
    """A block enters no window, so there is nothing to judge and nothing to store."""
    market = Market("kraken_spot", "BTC/USD", SPAN)
    pane = market.open_pane(FIRST)
    assert pane is not None
    pane.ids += [1, 1]
    assert not market.is_live(FIRST)
    assert len(unpack(stored(market))) == 3


def test_a_market_that_is_turned_back_keeps_the_marks_of_the_panes_that_it_keeps() -> None:
    """The newest of them is live again if it was."""
    market = a_market(True, False, True, False)
    assert market.turn_back(FIRST + 2)
    assert marks(market, 4) == [True, False, True, False]
    assert market.quiet_panes(FIRST, FIRST + 3) == {FIRST + 1}
