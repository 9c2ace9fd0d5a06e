"""A market whose clock ran ahead is brought back: what was counted before stays, and what comes after counts again."""

import msgspec
import pytest

from streams.errors import BadRecord
from streams.model.frames import Frame, decode_frame, encode_end, encode_reset
from tables.market.rolling import Rolling
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.items import market_from
from tests.agents.counting.test_monitor import HOME, Worker
from tests.trades import BTC, NOON, frame_of, spot, worth

VENUE = "kraken_spot"
AGES = 70 * 365 * 86_400
RESET = encode_reset(VENUE, BTC, NOON * 10**6)


async def run_ahead(worker: Worker, by: int) -> None:
    """Count 600 s of trades, then one of so many seconds later, which a worker of an earlier release let pass."""
    await worker.take(*(frame_of([spot(number, number)]) for number in range(600)), timestamp=NOON + 600)
    await worker.take(frame_of([spot(1000, 600 + by)]), timestamp=NOON + 600 + by)


def image(market: Market) -> object:
    """Return all that is known of a market."""
    return (
        market.watermark,
        {name: list(marks) for name, marks in market.marks.items() if marks},
        [(number, pane) for number, pane in market.panes(0, 2**40)],
        market.volume,
        market.liquidated,
    )


def restored(worker: Worker) -> Market:
    """Return the market as its next owner would restore it."""
    span = Span(300, 4200)
    found = market_from(worker.state.items[HOME].items(), VENUE, BTC, span)
    assert found is not None
    return found


@pytest.mark.parametrize("by", [3540, AGES])
async def test_trades_count_again_in_windows(by: int) -> None:
    worker = Worker()
    await run_ahead(worker, by)
    market = await worker.market()
    assert market.volume == 100_000_000, "the window is empty but for the wrong trade"
    await worker.take(RESET, timestamp=NOON + 600)
    await worker.take(*(frame_of([spot(number, number)]) for number in range(600, 700)), timestamp=NOON + 700)
    assert market.watermark == NOON + 699
    assert market.figures(NOON + 699, 100).count == 100
    # What had left the panes kept is not brought back.
    assert market.figures(NOON + 699, 300).count == (300 if by == 3540 else 100)


@pytest.mark.parametrize("by", [3540, 4000, AGES])
async def test_the_next_owner_restores_exactly_what_this_one_has(by: int) -> None:
    """Also where the store still held what had left the panes kept."""
    worker = Worker()
    await run_ahead(worker, by)
    await worker.keeper.flush()
    await worker.take(RESET, timestamp=NOON + 600)
    assert image(restored(worker)) == image(await worker.market())
    await worker.take(frame_of([spot(2000, 601)]), timestamp=NOON + 601)
    await worker.keeper.flush()
    assert image(restored(worker)) == image(await worker.market())


@pytest.mark.parametrize("written", range(0, 260, 20))
async def test_a_crash_in_the_flush_of_a_reset_changes_nothing(written: int) -> None:
    """Of what that flush writes, any first part may be all there is: the record is read again by the next owner."""
    worker = Worker()
    await run_ahead(worker, 3800)
    await worker.keeper.flush()
    before, sent = dict(worker.state.items[HOME]), len(worker.broker.of("changelog"))
    await worker.take(RESET, timestamp=NOON + 600)
    expected = image(await worker.market())
    after = worker.state.items[HOME]
    flushed = [record.key for record in worker.broker.of("changelog")[sent:]]
    assert len(flushed) > 240
    successor = Worker()
    successor.offset = worker.offset - 1
    successor.state.items[HOME] = before | {key: after[key] for key in flushed[:written]}
    await successor.take(RESET, timestamp=NOON + 600)
    assert image(await successor.market()) == expected
    assert image(restored(successor)) == expected


async def test_a_replay_of_the_reset_and_of_what_follows_ends_in_the_same() -> None:
    """After a crash whose flush had both."""
    worker = Worker()
    await run_ahead(worker, 3540)
    at = worker.offset
    after = [frame_of([spot(3000 + number, 601 + number)]) for number in range(200)]
    await worker.take(RESET, timestamp=NOON + 600)
    await worker.take(*after, timestamp=NOON + 800)
    await worker.keeper.flush()
    expected = image(await worker.market())
    successor = Worker(state=worker.state)
    successor.offset = at
    await successor.take(RESET, timestamp=NOON + 600)
    await successor.take(*after, timestamp=NOON + 800)
    assert image(await successor.market()) == expected


async def test_alerts_of_the_time_that_never_was_do_not_hold_back_others() -> None:
    """The cooldown of one raised there would, for years."""
    worker = Worker()
    await worker.take(frame_of([spot(1)]), timestamp=NOON)
    await worker.take(frame_of([worth(3_000_000, 2, AGES)]), timestamp=NOON + AGES)
    await worker.take(RESET, timestamp=NOON)
    await worker.take(frame_of([worth(3_000_000, 3, 5)]), timestamp=NOON + 5)
    assert list(dict.fromkeys(alert.pane for alert in worker.alerts())) == [NOON + AGES, NOON + 5]


async def test_a_market_whose_clock_is_right_loses_nothing() -> None:
    worker = Worker()
    await worker.take(*(frame_of([spot(number, number)]) for number in range(60)))
    before = image(await worker.market())
    await worker.take(RESET, timestamp=NOON + 10)
    assert image(await worker.market()) == before
    assert worker.letters() == []


async def test_a_market_that_is_not_known_is_not_made() -> None:
    """Its first trade says what kind it is of."""
    worker = Worker()
    await worker.take(RESET)
    assert list(worker.keeper.markets()) == []
    assert worker.letters() == []


async def test_windows_that_are_shown_go_back_too() -> None:
    worker = Worker()
    await run_ahead(worker, 3540)
    rolling = Rolling(await worker.market(), (60, 300))
    assert rolling.figures()[1].count == 1
    await worker.take(RESET, timestamp=NOON + 600)
    assert [figures.count for figures in rolling.figures()] == [60, 300]


def test_a_frame_that_resets_has_no_trades_and_says_so() -> None:
    """Releases before take it for a frame without trades, which is a dead letter, as the tail of it is unknown."""
    frame = decode_frame(RESET)
    assert (frame.venue, frame.symbol, len(frame), frame.is_reset, frame.is_end) == (VENUE, BTC, 0, True, False)
    assert not decode_frame(encode_end(VENUE, BTC, frame.kind, 5)).is_reset
    items = msgspec.msgpack.decode(frame_of([spot(1)]))
    with pytest.raises(BadRecord, match="holds no trades"):
        decode_frame(msgspec.msgpack.encode([*items, None, False, None, True]))


def test_what_an_earlier_release_reads_of_it_has_no_trades_and_is_no_end() -> None:
    """So it refuses it: it takes frames without trades for ends only."""
    items = msgspec.msgpack.decode(RESET)[: len(Frame.__struct_fields__) - 1]
    with pytest.raises(BadRecord, match="holds 1 to"):
        decode_frame(msgspec.msgpack.encode(items))
