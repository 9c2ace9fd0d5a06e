"""The ids of a chunk fit into one record of the changelog, whatever ids trades have."""

from collections.abc import Iterable
from itertools import pairwise
from random import Random

import msgspec
import pytest

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import SourceMessage, decode
from agents.counting.tally import Outcome
from agents.rules.book import rule_book
from streams.kafka.admin import MAX_RECORD_BYTES
from streams.model.frames import encode_frame
from streams.model.kinds import implied_kind
from streams.settings import load_settings
from tables.market.chunk import CHUNK_PANES
from tables.market.chunks import encode
from tables.market.crowding import MAX_ID_BYTES, id_bytes
from tables.market.identities import TradeId, add_id, grows
from tables.market.span import Span
from tables.market.state import Market
from tests.recordings import START, Tape
from tests.trades import row_reader
from tests.wire import records

FIRST = START - START % CHUNK_PANES
ROWS = row_reader()


def a_frame(symbol: str, numbers: Iterable[int], *, second: int = FIRST) -> bytes:
    """Return a frame of small trades of one second, with these ids."""
    [made] = records([Tape(1, symbol).trade(1)])
    trades = [msgspec.structs.replace(made, trade_id=number, time_us=second * 10**6) for number in numbers]
    return encode_frame(made.venue, symbol, trades, 1)


def a_crowded_market(symbol: str) -> Market:
    """Return a market whose 32 seconds have about as many ids as there is room for, evenly."""
    market = Market("kraken_spot", symbol, Span(300, 4200))
    entries = MAX_ID_BYTES // CHUNK_PANES // 18 - 100
    for number in range(FIRST, FIRST + CHUNK_PANES):
        pane = market.open_pane(number)
        assert pane is not None
        if implied_kind(symbol).has_wide_ids:
            pane.ids += [(at << 64).to_bytes(16, "big") for at in range(entries)]
        else:
            pane.ids += [bound for at in range(entries) for bound in (2**40 + 3 * at,) * 2]
    return market


def folded(values: list[bytes], market: Market) -> Outcome:
    """Count frames, and return what was refused of all of them."""
    evaluator = Evaluator(rule_book(load_settings()), window=300, cooldown=300, max_future_us=60_000_000)
    total = Outcome()
    for offset, value in enumerate(values):
        trades = decode(SourceMessage(value, 0, offset, 4e9), ROWS)
        total.add(evaluator.fold(market, trades, message_us=4 * 10**15, partition=0, offset=offset))
    return total


@pytest.mark.parametrize("symbol", ["XRP/USD", "PF_XBTUSD"])
def test_sparse_ids_are_refused_before_a_chunk_is_too_large_for_the_broker(symbol: str) -> None:
    """And the same ones in a replay. What is held already is a duplicate still, and not refused."""
    market = a_crowded_market(symbol)
    values = [a_frame(symbol, range(2**100 if symbol == "PF_XBTUSD" else 2**50, 2**101, 2**30)[:5000])]
    outcome = folded(values, market)
    [chunk] = market.chunks.values()
    held = sum(id_bytes(pane.ids) for pane in chunk.panes if pane is not None)
    assert MAX_ID_BYTES - 18 < held <= MAX_ID_BYTES
    assert len(encode(chunk)) < MAX_RECORD_BYTES
    assert {refusal.reason for refusal in outcome.refused} == {"too_many_ids"}
    assert outcome.counted > 0
    assert outcome.counted + len(outcome.refused) == 5000
    before = encode(chunk)
    again = folded(values, market)
    assert (again.counted, again.duplicates) == (0, outcome.counted)
    assert encode(chunk) == before


def test_quiet_seconds_beside_crowded_ones_leave_a_chunk_below_the_limit() -> None:
    """Nobody asks for room while a pane has few ids."""
    market = a_crowded_market("XRP/USD")
    [chunk] = market.chunks.values()
    for pane in chunk.panes[1:]:
        assert pane is not None
        pane.ids = []
    crowded = chunk.panes[0]
    assert crowded is not None
    crowded.ids = [bound for at in range(MAX_ID_BYTES // 18) for bound in (2**40 + 3 * at,) * 2]
    for second in range(FIRST + 1, FIRST + CHUNK_PANES):
        folded([a_frame("XRP/USD", range(2**50, 2**51, 2**30)[:1000], second=second)], market)
    assert len(encode(chunk)) < MAX_RECORD_BYTES


@pytest.mark.parametrize("size", [10, 1000])
def test_ids_that_follow_each_other_find_room_in_a_full_chunk(size: int) -> None:
    """They lengthen nothing: an exchange's own numbers fit. In small frames and in large ones, summed by column."""
    market = a_crowded_market("XRP/USD")
    folded([a_frame("XRP/USD", range(2**50, 2**51, 2**30)[:5000])], market)
    last = next(iter(market.chunks.values())).panes[0].ids[-1]  # type: ignore[union-attr]
    assert isinstance(last, int)
    beside = folded([a_frame("XRP/USD", range(last + 1, last + 1 + size))], market)
    assert (beside.counted, beside.refused) == (size, [])


@pytest.mark.parametrize("wide", [False, True])
def test_whether_an_id_lengthens_the_list_is_told_as_adding_it_shows(*, wide: bool) -> None:
    """In any order."""
    random = Random(1)
    ids: list[TradeId] = []
    for _ in range(3000):
        number = random.randrange(2000)
        trade_id: TradeId = number.to_bytes(16, "big") if wide else number
        before, told = len(ids), grows(ids, trade_id)
        add_id(ids, trade_id)
        assert told == (len(ids) > before)
    assert all(low <= high for low, high in pairwise(ids))  # type: ignore[operator]
