"""Sums of blocks that a market takes over from the store: used while they are true, and never otherwise."""

import pytest

from tables.market.chunk import CHUNK_PANES
from tables.market.chunks import chunk_key, decode_chunk, encode, sums_key
from tables.market.pieces import BLOCK_CHUNKS, BLOCK_PANES
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.items import market_from, taken_from
from tests.tables.market.moves import add
from tests.tables.market.reference import reference_figures

SPAN = Span(window=300, retention=4 * BLOCK_PANES)
FIRST = 40 * BLOCK_PANES
LAST = FIRST + 3 * BLOCK_PANES + 5
WINDOW = LAST - FIRST + 1
KEY = sums_key("v", "S")


def a_market() -> tuple[Market, dict[bytes, bytes]]:
    """Return a market of three whole blocks that somebody has looked at, and what is stored of it."""
    market = Market("v", "S", SPAN)
    for number in range(FIRST, LAST + 1):
        add(market, number, number, 1 + number % 7)
    taken = taken_from([market], SPAN)
    market.figures(market.watermark, WINDOW)
    add(market, LAST, LAST + 1, 5)
    return market, taken | taken_from([market], SPAN)


def loaded(stored: dict[bytes, bytes]) -> Market:
    market = market_from(stored.items(), "v", "S", SPAN)
    assert market is not None
    return market


def assert_right(market: Market) -> None:
    panes = [pane for _, pane in market.panes(market.watermark - WINDOW + 1, market.watermark)]
    assert market.figures(market.watermark, WINDOW) == reference_figures(panes)


def test_a_loaded_market_knows_the_sums_of_its_blocks() -> None:
    """Those that were whole when they were stored; and it stores nothing again that is there."""
    market, stored = a_market()
    again = loaded(stored)
    assert again._pieces.blocks == market._pieces.blocks
    assert sorted(again._pieces.blocks) == [40, 41, 42]
    assert_right(again)
    assert KEY not in taken_from([again], SPAN)


def test_nothing_is_stored_that_nobody_has_computed() -> None:
    """Counting never waits for sums. Where a market is looked at, they are stored once a block."""
    market = Market("v", "S", SPAN)
    writes = 0
    for number in range(FIRST, LAST + 1):
        add(market, number, number, 1)
        assert KEY not in taken_from([market], SPAN)
    for number in range(LAST + 1, LAST + 1 + BLOCK_PANES):
        add(market, number, number, 1)
        market.figures(market.watermark, WINDOW)
        writes += KEY in taken_from([market], SPAN)
    assert writes == 2


@pytest.mark.parametrize("is_late", [True, False])
def test_a_chunk_that_was_written_since_makes_the_sums_void(*, is_late: bool) -> None:
    """By a late trade here, or by a release that knows no sums: other blocks keep theirs."""
    market, stored = a_market()
    place = FIRST + BLOCK_PANES + 3
    if is_late:
        add(market, place, 7, 1000)
        stored |= {key: value for key, value in taken_from([market], SPAN).items() if key != KEY}
    else:
        key = chunk_key("v", "S", place // CHUNK_PANES % SPAN.slots)
        chunk = decode_chunk(key, stored[key])
        chunk.offset += 1
        chunk.wake()[0] = None
        stored[key] = encode(chunk)
    again = loaded(stored)
    assert sorted(again._pieces.blocks) == [40, 42]
    assert_right(again)


@pytest.mark.parametrize("value", [b"", b"junk", b"\x91\x01", b"\x93\x01\x80\x01", b"\x92\x01\x81\x28\x90"])
def test_what_cannot_be_read_is_added_up_anew(value: bytes) -> None:
    """A later release may write them in another way."""
    _, stored = a_market()
    again = loaded(stored | {KEY: value})
    assert not again._pieces.blocks
    assert_right(again)


def test_nothing_is_stored_in_the_middle_of_a_message() -> None:
    """Chunks then have the offset of the message before, as those without its trades have."""
    market, _ = a_market()
    add(market, FIRST, 7, 1000)
    market.is_midway = True
    market.figures(market.watermark, WINDOW)
    assert market.take_sums() is None
    assert len(market._pieces.blocks) <= BLOCK_CHUNKS
