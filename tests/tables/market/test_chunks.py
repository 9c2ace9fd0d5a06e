"""The state's layout: keys that cannot be mistaken, values that say how much they contain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import (
    CorruptState,
    Head,
    chunk_key,
    decode_chunk,
    decode_head,
    encode,
    head_key,
    market_of,
    markets_of,
    offset_of,
    prefix,
    split_key,
)
from tables.market.episodes import Mark
from tables.market.panes import Pane
from tables.stores.base import newer

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="|"), min_size=1, max_size=8)


@given(NAMES, NAMES, st.integers(0, 10**6))
def test_a_key_names_its_market(venue: str, symbol: str, slot: int) -> None:
    """Whatever a venue calls its markets."""
    for key in (head_key(venue, symbol), chunk_key(venue, symbol, slot)):
        assert market_of(key) == (venue, symbol)
        assert key.startswith(prefix(venue, symbol))


@given(NAMES, NAMES, st.text(max_size=8))
def test_a_key_of_a_later_release_names_its_market(venue: str, symbol: str, part: str) -> None:
    """Whatever it ends in."""
    key = f"{venue}|{symbol}|{part}".encode()
    assert market_of(key) == (venue, symbol)
    assert split_key(key) == (f"{venue}|{symbol}", part)
    assert markets_of([key, head_key("v", "S"), key]) == {(venue, symbol), ("v", "S")}


@pytest.mark.parametrize("key", ["", "meta", "coverage|kraken", "|"])
def test_a_key_of_no_market_names_none(key: str) -> None:
    """A later release may keep something of the whole table."""
    assert split_key(key.encode()) == ("", key)
    assert markets_of([key.encode()]) == set()


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_the_keys_of_two_markets_do_not_begin_alike(one: tuple[str, str], other: tuple[str, str]) -> None:
    """BTC/USD and BTC/USDT, or one venue's name within another's."""
    if one != other:
        assert not head_key(*one).startswith(prefix(*other))
        assert not chunk_key(*one, 1).startswith(prefix(*other))


def a_chunk(offset: int) -> Chunk:
    """Return a chunk with two panes."""
    panes: list[Pane | None] = [None] * CHUNK_PANES
    panes[3], panes[31] = Pane([1, 9]), Pane([b"\x01" * 16])
    return Chunk(offset, 54_321, panes)


@pytest.mark.parametrize("offset", [-1, 0, 127, 2**40])
def test_values_read_back_and_tell_their_offset(offset: int) -> None:
    """The offset can be had without reading the rest."""
    head = Head(offset, 1_700_000_000, {"volume": [Mark(5, 2, 1)]})
    chunk = a_chunk(offset)
    assert decode_head(b"k", encode(head)) == head
    assert decode_chunk(b"k", encode(chunk)) == chunk
    assert offset_of(encode(head)) == offset_of(encode(chunk)) == offset


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x93\x01\x02", encode(Head(1, 2, {}))[:-1], b"null"])
def test_what_cannot_be_read_is_said_with_its_key(value: bytes) -> None:
    """The operator learns which market's state is broken."""
    with pytest.raises(CorruptState, match=r"kraken\|BTC/USD\|7.* is no chunk"):
        decode_chunk(chunk_key("kraken", "BTC/USD", 7), value)
    with pytest.raises(CorruptState, match=r"kraken\|BTC/USD\|head.* is no head"):
        decode_head(head_key("kraken", "BTC/USD"), value)


def test_a_chunk_is_no_head_and_a_head_no_chunk() -> None:
    """Types are checked, not guessed."""
    with pytest.raises(CorruptState):
        decode_chunk(b"k", encode(Head(1, 2, {})))
    with pytest.raises(CorruptState):
        decode_head(b"k", encode(a_chunk(1)))


@pytest.mark.parametrize(
    ("stored", "incoming", "replaces"), [(None, 5, True), (4, 5, True), (5, 5, True), (6, 5, False)]
)
def test_of_two_values_the_higher_offset_stays(stored: int | None, incoming: int, replaces: bool) -> None:
    """A frozen worker's late flush does not undo its successor's work."""
    held = None if stored is None else encode(a_chunk(stored))
    assert newer(held, encode(a_chunk(incoming))) is replaces


@pytest.mark.parametrize("count", [0, CHUNK_PANES - 1, CHUNK_PANES + 1])
def test_a_chunk_of_another_size_is_corrupt(count: int) -> None:
    """Its panes would be those of other seconds."""
    with pytest.raises(CorruptState, match=rf"it has {count} panes, not {CHUNK_PANES}"):
        decode_chunk(b"v|s|3", encode(Chunk(7, 3, [None] * count)))


def test_what_is_nested_without_end_is_corrupt() -> None:
    """The reader gives up by an error of its own."""
    deep = b"\x91" * 100_000 + b"\xc0"
    for read in (decode_chunk, decode_head):
        with pytest.raises(CorruptState, match=r"v\|s"):
            read(b"v|s|3", deep)
        with pytest.raises(CorruptState, match=r"v\|s"):
            read(b"v|s|3", b"\x96\x07\x03\x90\x90\x01" + deep)


def test_a_key_that_is_no_text_is_of_no_market() -> None:
    """A later release may have such keys, beside those of markets."""
    assert split_key(b"\xff\xfe|b|c")[0] == ""
    assert markets_of([b"\xff\xfe|b|c", b"v|s|head"]) == {("v", "s")}
