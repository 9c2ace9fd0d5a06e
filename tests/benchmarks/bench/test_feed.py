"""All systems get the same trades, in either form, and the totals are theirs."""

from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest

from streams.model.frames import decode_frame, encode_frame
from tests.benchmarks.bench import feed
from tests.benchmarks.bench.parts import PARTS, Part
from tests.trades import row_reader

FRAMES = Part("frames", symbols=3, group=4, trades=240)
ROWS = Part("rows", symbols=3, group=1, trades=240)
HOUR = 3600


class Amounts(msgspec.Struct):
    """What a row's notional is made of."""

    price: Decimal
    qty: Decimal


def rows_of(part: Part) -> list[tuple[str, list[msgspec.Raw]]]:
    """Return the rows of each message that peers get."""
    messages = feed.json_messages(part, feed.columns(part))
    return [
        (symbol, [msgspec.Raw(text)] if part.is_rows else msgspec.json.decode(text, type=list[msgspec.Raw]))
        for symbol, text in messages
    ]


def test_frames_are_those_that_the_producer_would_make_of_the_rows() -> None:
    """Bit for bit, so no system reads easier trades than another."""
    reader = row_reader()
    made = list(feed.frames(FRAMES, feed.columns(FRAMES)))
    for (symbol, frame), (also, rows) in zip(made, rows_of(FRAMES), strict=True):
        trades = [reader.read(bytes(row)) for row in rows]
        received = decode_frame(frame).received_us
        assert (symbol, frame) == (also, encode_frame(feed.VENUE, symbol, trades, received))


@pytest.mark.parametrize("part", [ROWS, FRAMES], ids=lambda part: part.name)
def test_totals_are_those_of_the_rows(part: Part) -> None:
    """Counted here from the text, by decimal arithmetic."""
    trades, micros = Counter[str](), Counter[str]()
    for symbol, rows in rows_of(part):
        for row in rows:
            fields = msgspec.json.decode(row, type=Amounts)
            notional = fields.price * fields.qty
            trades[symbol] += 1
            micros[symbol] += int((notional * 10**6).to_integral_value(ROUND_HALF_EVEN))
    assert feed.totals(part, feed.columns(part)) == {name: (trades[name], micros[name]) for name in trades}


def test_each_market_has_its_ids_in_order_and_messages_hold_as_many_as_they_should() -> None:
    """Ids begin with 1 and have no hole."""
    ids: dict[str, list[int]] = {}
    for symbol, frame in feed.frames(FRAMES, feed.columns(FRAMES)):
        read = decode_frame(frame)
        assert len(read) == FRAMES.group
        ids.setdefault(symbol, []).extend(memoryview(read.ids).cast("q"))
    assert ids == {feed.symbol_of(market): list(range(1, 81)) for market in range(FRAMES.symbols)}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_parts_are_whole_messages_and_within_the_longest_window(part: Part) -> None:
    """Their totals can be read from a window of an hour, at every scale."""
    for one in (part, part.scaled(0.01), part.scaled(0.3)):
        assert one.trades % (one.symbols * one.group) == 0
        assert one.trades // one.rate <= HOUR
