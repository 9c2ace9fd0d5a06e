"""What is stored of a market against a naive model: restores, flushes of which only a part arrived."""

from collections.abc import Iterable
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.kinds import FUTURES_KIND, SPOT_KIND, MarketKind, implied_kind
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import KIND, Head, decode_chunk, decode_head, encode
from tables.market.coverage import SINCE
from tables.market.episodes import Mark
from tables.market.state import Market
from tests.tables.market.moves import MOVES, SPAN, START, Model, Move, a_market, add, assert_as, numbers_of


class Table:
    """The stored ring: what a partial flush leaves is any part of what it would have written."""

    def __init__(self) -> None:
        self.items: dict[int | str, bytes] = {}

    def flush(self, market: Market, keep: Iterable[bool] | None = None) -> None:
        head, chunks = market.take_dirty()
        writes: list[tuple[int | str, bytes]] = [(chunk.number % SPAN.slots, encode(chunk)) for chunk in chunks]
        writes.append(("head", encode(head)))
        self.items.update(write for write, kept in zip(writes, keep or [True] * len(writes), strict=False) if kept)
        if keep is None:
            market.flushed_watermark = market.watermark

    def load(self) -> Market:
        market = a_market()
        head = decode_head(b"", self.items["head"]) if "head" in self.items else None
        market.restore(head, [decode_chunk(b"", value) for slot, value in self.items.items() if slot != "head"])
        return market


@given(MOVES, st.sets(st.integers(0, 39)))
def test_a_restored_market_is_the_one_that_was_stored(moves: list[Move], flushes: set[int]) -> None:
    """However the changes were spread over flushes; and it goes on as the other would have."""
    market, model, table = a_market(), Model(), Table()
    for trade_id, (number, notional, liquidation) in enumerate(numbers_of(moves)):
        model.add(number, notional, liquidation=liquidation)
        add(market, number, trade_id, notional, liquidation=liquidation)
        if trade_id in flushes or market.must_flush():
            table.flush(market)
            market = table.load()
            assert_as(model, market)
    assert_as(model, market)


@given(MOVES, st.integers(0, 40), st.lists(st.booleans(), max_size=12))
def test_after_a_flush_cut_short_a_replay_ends_the_same(moves: list[Move], flushed: int, keep: list[bool]) -> None:
    """The last whole flush, any part of the next, and the trades since the first once more."""
    steps = numbers_of(moves)
    market, model, table = a_market(), Model(), Table()
    safe = 0
    for trade_id, (number, notional, liquidation) in enumerate(steps):
        model.add(number, notional, liquidation=liquidation)
        add(market, number, trade_id, notional, liquidation=liquidation)
        if trade_id == flushed or market.must_flush():
            table.flush(market)
            safe = trade_id + 1
    table.flush(market, keep)
    again = table.load()
    for trade_id, (number, notional, liquidation) in list(enumerate(steps))[safe:]:
        add(again, number, trade_id, notional, liquidation=liquidation)
    if steps:
        assert_as(model, again)


@given(MOVES)
def test_the_ring_never_grows_and_never_mixes(moves: list[Move]) -> None:
    """A market has no more keys than slots, and no two kept chunks share one."""
    market, table = a_market(), Table()
    for trade_id, (number, notional, _) in enumerate(numbers_of(moves)):
        add(market, number, trade_id, notional)
        kept = [chunk for chunk in market.chunks if chunk >= market.oldest // CHUNK_PANES]
        assert len({chunk % SPAN.slots for chunk in kept}) == len(kept)
        table.flush(market)
        assert len(table.items) <= SPAN.slots + 1
        written = {decode_chunk(b"", value).number for slot, value in table.items.items() if slot != "head"}
        assert {chunk for chunk in kept if any(market.chunks[chunk].panes)} <= written


def test_only_what_changed_is_written() -> None:
    """A late trade writes its chunk, not the newest; a second flush has nothing but the head."""
    market = a_market()
    for number in (START, START + CHUNK_PANES, START + 2 * CHUNK_PANES):
        add(market, number, number, 1)
    assert len(market.take_dirty()[1]) == 3
    add(market, START + 1, 1, 1)
    head, chunks = market.take_dirty()
    assert [chunk.number for chunk in chunks] == [START // CHUNK_PANES]
    assert chunks[0].offset == head.offset == market.offset
    assert market.take_dirty()[1] == []


def test_what_is_flushed_in_the_middle_of_a_message_is_written_again_with_its_offset() -> None:
    """Until then it has the offset of the message before, as a chunk without these trades has too."""
    market = a_market()
    add(market, START, 1, 1)
    market.is_midway = True
    assert [chunk.offset for chunk in market.take_dirty()[1]] == [0]
    add(market, START + CHUNK_PANES, 2, 1)
    market.is_midway = False
    assert [chunk.offset for chunk in market.take_dirty()[1]] == [1, 1]
    assert market.take_dirty()[1] == []


def test_processing_a_trade_again_writes_its_pane_again() -> None:
    """Local state can be ahead of the changelog: a replay must bring the changelog up to it."""
    market = a_market()
    add(market, START, 1, 5)
    market.take_dirty()
    add(market, START, 1, 5)
    assert [chunk.number for chunk in market.take_dirty()[1]] == [START // CHUNK_PANES]
    assert market.volume == 5


def test_chunks_without_a_head_are_taken_over_by_the_next_trade() -> None:
    """A first flush may have died before its head."""
    first = a_market()
    numbers = count()
    for number in range(START, START + 10):
        add(first, number, next(numbers), 3)
    market = a_market()
    market.restore(None, first.take_dirty()[1])
    assert (market.watermark, market.volume) == (-1, 0)
    add(market, START + 4, 99, 1)
    assert market.volume == 5 * 3 + 1
    add(market, START + 12, 100, 1)
    assert market.volume == 10 * 3 + 2


@pytest.mark.parametrize(("stored", "offset"), [("none", -1), ("an old and a new", 0), ("both", 1)])
def test_a_flush_cut_short_behind_its_head_claims_only_what_its_chunks_contain(stored: str, offset: int) -> None:
    """Else a replay's chunks would get the head's offset before they contain it."""
    market = a_market()
    add(market, START, 1, 5)
    (old,) = [decode_chunk(b"", encode(chunk)) for chunk in market.take_dirty()[1]]
    add(market, START, 2, 5)
    add(market, START + CHUNK_PANES, 3, 5)
    market.offset = 1
    head, (one, two) = market.take_dirty()
    again = a_market()
    again.restore(
        decode_head(b"", encode(head)), {"none": [], "an old and a new": [old, two], "both": [one, two]}[stored]
    )
    assert (again.offset, again.watermark) == (offset, START + CHUNK_PANES)


def test_stale_chunks_of_the_ring_are_ignored() -> None:
    """A slot that was not overwritten yet holds panes that have long left."""
    market = a_market()
    old = a_market()
    add(old, START, 1, 5)
    market.restore(Head(9, START + 10 * SPAN.retention, {}), old.take_dirty()[1])
    assert market.chunks == {}
    assert market.volume == 0


def test_marks_are_stored_and_forgotten_with_their_panes() -> None:
    """Those of the latest episode stay."""
    market = a_market()
    add(market, START, 1, 1)
    market.marks = {"volume": [Mark(START - 500, 1, START - 500), Mark(START, 1, START)]}
    head, _ = market.take_dirty()
    assert (head.offset, head.watermark, head.chunks) == (0, START, [START // CHUNK_PANES])
    assert head.marks == {"volume": [Mark(START, 1, START)]}
    again = a_market()
    again.restore(decode_head(b"", encode(head)), [Chunk(0, 0, [None] * CHUNK_PANES)])
    assert again.marks == market.marks


PERP = MarketKind("perp", has_liquidations=True, id_bytes=8)


def stored(market: Market) -> Head:
    """Return the market's head as a later worker reads it."""
    head, _ = market.take_dirty()
    return decode_head(b"", encode(head))


@pytest.mark.parametrize(("symbol", "kind"), [("BTC-PERP", PERP), ("PF_BTC", SPOT_KIND)])
def test_the_head_keeps_the_kind_that_the_symbol_does_not_say(symbol: str, kind: MarketKind) -> None:
    """A market that comes back from the table is what it was, whatever its next frame says."""
    market = Market("v", symbol, SPAN, kind)
    add(market, START, 1, 5)
    again = Market("v", symbol, SPAN, FUTURES_KIND)
    again.restore(stored(market), [])
    assert again.kind == kind
    assert stored(again).tail == stored(market).tail


@pytest.mark.parametrize("symbol", ["BTC/USD", "PF_XBTUSD"])
def test_a_head_of_before_means_what_its_symbol_says(symbol: str) -> None:
    """It names no kind, and still does not."""
    market = Market("v", symbol, SPAN)
    add(market, START, 1, 5)
    head, _ = market.take_dirty()
    assert KIND not in head.tail.more
    before = msgspec.structs.replace(head, tail=head.tail.without(SINCE))
    assert encode(before) == msgspec.msgpack.encode([0, START, {}, [START // CHUNK_PANES]])
    again = Market("v", symbol, SPAN, PERP)
    again.restore(stored(market), [])
    assert again.kind is implied_kind(symbol)


def test_what_a_head_names_that_is_not_known_here_is_written_back() -> None:
    """A later release may have more to say of a market."""
    market = Market("v", "BTC-PERP", SPAN, PERP)
    add(market, START, 1, 5)
    head = stored(market)
    later = {"later": msgspec.Raw(msgspec.msgpack.encode([1, "two"]))}
    head = msgspec.structs.replace(head, tail=head.tail.adding(later))
    again = Market("v", "BTC-PERP", SPAN)
    again.restore(decode_head(b"", encode(head)), [])
    assert stored(again).tail == head.tail
