"""Folding and judging survive crashes anywhere: what is durable afterwards equals the brute-force oracle."""

from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from agents.counting.evaluation import Evaluator
from agents.counting.runs import Trades
from agents.counting.tally import Outcome
from streams.model.frames import decode_frame, encode_frame
from streams.model.trade import Kind, Trade
from streams.settings import load_settings
from tables.market.chunk import CHUNK_PANES
from tables.market.chunks import closing_of
from tables.market.state import Market
from tests.agents.replica import Owners, Replica, frames_of, rows
from tests.oracle import Oracle, OracleTrade, Terms
from tests.real_data import real_file, spot_csv
from tests.recordings import IN_ORDER, SCENARIOS, Tape
from tests.wire import records

SEEDS = (1, 2)
PRICE_MOVE_PCT = Decimal("0.3")
TERMS = Terms(price_move_pct=PRICE_MOVE_PCT)
SETTINGS = load_settings(price_move_pct=PRICE_MOVE_PCT)


def windows(replica: Replica, oracle: Oracle) -> tuple[list[Any], list[Any]]:
    """Return every kept pane's window, by the program and by the oracle."""
    ours: list[Any] = []
    theirs: list[Any] = []
    for venue, symbol in oracle.markets():
        market = replica.market(venue, symbol)
        panes = oracle.panes(venue, symbol)
        for number, pane in market.panes(market.oldest, market.watermark):
            expected = panes[number]
            ours.append((number, pane.count, pane.notional, pane.high, pane.last_price, pane.largest))
            theirs.append(
                (
                    number,
                    *(expected[name] for name in ("count", "total_volume_micro_usd", "high", "last_price")),
                    expected["largest_trade_micro_usd"],
                )
            )
        for window in replica.settings.windows:
            ours.append(msgspec.structs.asdict(market.figures(market.watermark, window)))
            theirs.append(oracle.window(venue, symbol, market.watermark, window))
    return ours, theirs


@pytest.mark.parametrize("name", IN_ORDER)
@pytest.mark.parametrize("slack", [200, 3600])
def test_a_replica_that_dies_anywhere_ends_with_the_same_panes_and_alerts(name: str, slack: int) -> None:
    """Kills between messages and in the middle of flushes; what is durable is any part of the flush under way."""
    for seed in SEEDS:
        trades = SCENARIOS[name](seed)
        oracle = Oracle(trades, TERMS)
        random = Random(seed)
        replica = Replica(frames_of(records(trades), random.choice((1, 5, 40))), SETTINGS, slack=slack)
        deaths = 0
        while replica.position < len(replica.log):
            replica.step(dies=random if random.random() < 0.2 and deaths < 40 else None)
            fate = random.random()
            if fate < 0.05:
                replica.flush()
                replica.committed = replica.position
            elif fate < 0.08 and deaths < 40:
                if random.random() < 0.7:
                    replica.flush(dies=random)
                replica.start()
                deaths += 1
        replica.run()
        assert rows(replica) == oracle.alerts(), f"seed {seed}, {deaths} deaths"
        ours, theirs = windows(replica, oracle)
        assert ours == [w for w in theirs if w is not None], f"seed {seed}, {deaths} deaths"


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - set(IN_ORDER)))
def test_owners_that_die_or_freeze_leave_what_an_untroubled_one_does_where_trades_are_late(name: str) -> None:
    """Whether a late trade alerts depends on what was raised before it: a replay has to know that."""
    for seed in range(3):
        log = frames_of(records(SCENARIOS[name](seed)), (5, 1, 40)[seed])
        troubled, untroubled = Owners(log, SETTINGS, seed).run().current, Replica(log, SETTINGS).run()
        assert rows(troubled) == rows(untroubled), f"seed {seed}"
        for place, market in untroubled.markets.items():
            found = troubled.market(*place)
            kept = list(market.panes(market.oldest, market.watermark))
            assert list(found.panes(market.oldest, market.watermark)) == kept, f"seed {seed}"


class OnlyTheNewestChunk(Random):
    """A death in a flush that leaves the newest chunk behind, and neither the head nor any other chunk."""

    def random(self) -> float:
        return 1.0

    def shuffle(self, x: Any) -> None:
        x[:] = x[-1:]

    def randrange(self, start: int, *_: Any, **__: Any) -> int:
        return start - 1


def test_a_silence_as_long_as_the_ring_takes_nothing_from_what_came_before() -> None:
    """The chunk after it takes the place of one that a replay still needs, unless that was judged and flushed first."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(600_000)
    tape.wait(10).trade(500_000)
    tape.wait(2).trade(600_000)
    replica = Replica(frames_of(records(tape.trades), 1))
    ring_seconds = replica.span.slots * CHUNK_PANES
    tape.wait(ring_seconds - 12).trade(1000)
    replica.log = frames_of(records(tape.trades), 1)
    replica.run(until=1).flush()
    replica.committed = 1
    replica.run(until=3).step(dies=OnlyTheNewestChunk())
    replica.run()
    assert rows(replica) == Oracle(tape.trades).alerts()
    assert len(rows(replica)) == 1


def test_an_owner_that_was_frozen_takes_nothing_from_a_message_flushed_in_its_middle() -> None:
    """It wakes with the message before that one, and writes behind all that its successor has written."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    for seconds in (0, 1, 1, 400):
        tape.wait(seconds).trade(600_000)
    trades = records(tape.trades)
    log = [frame for part in (trades[:1], trades[1:2], trades[2:]) for frame in frames_of(part, 2)]
    first = Replica(log, slack=200).run(until=1)
    first.flush()

    def owner() -> Replica:
        replica = Replica(log, slack=200)
        replica.durable, replica.committed = first.durable, 1
        replica.start()
        return replica

    frozen = owner().run(until=2)
    owner().run()
    frozen.flush()
    ours, theirs = windows(owner(), Oracle(tape.trades))
    assert ours == theirs


@pytest.mark.parametrize("whole", [False, True])
def test_a_late_trade_is_judged_only_in_windows_that_are_kept_whole(*, whole: bool) -> None:
    """The rest lack trades that counted: their figures would be wrong, and whether they cross a guess."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    replica = Replica([])
    span = replica.span
    late_at = span.window + 50 if whole else span.window + 49
    tape.trade(500_000)
    tape.wait(late_at).trade(1_100_000)
    tape.wait(span.retention + 50 - late_at).trade(1)
    early, late, newest = records(tape.trades)
    replica.log = frames_of([early, newest, late], 1)
    replica.run()
    assert replica.late == 0
    assert rows(replica) == (Oracle(tape.trades).alerts() if whole else [])
    assert len(rows(replica)) == whole


def test_sending_a_recording_twice_changes_nothing() -> None:
    trades = SCENARIOS["burst"](1)
    once = Replica(frames_of(records(trades), 7)).run()
    twice = Replica(frames_of(records(trades) * 2, 7)).run()
    assert rows(twice) == rows(once)
    assert twice.duplicates == once.counted


@pytest.mark.parametrize("size", [1, 7, 500])
def test_forty_real_minutes_give_exactly_the_known_alerts(size: int) -> None:
    trades = spot_csv(real_file("kraken_spot_btcusd_2019-07-01T0000_40min.csv"))
    replica = Replica(frames_of(records(trades), size)).run()
    found = [(r["pane"], r["severity"], r["count"], r["vwap"], r["largest_trade_micro_usd"]) for r in rows(replica)]
    assert found == [
        (1561939420, "LOW", 229, 10757.167556973907, 107_250_000_000),
        (1561939564, "MEDIUM", 469, 10705.537729348083, 107_250_000_000),
        (1561939865, "LOW", 342, 10703.689871388435, 106_247_663_594),
        (1561940096, "MEDIUM", 482, 10872.838640323649, 108_250_000_000),
    ]
    assert rows(replica) == Oracle(trades).alerts()


def a_price_mover(symbol: str = "XRP/USD") -> tuple[Evaluator, Market]:
    """Return a market with a rule that waits for panes, and what judges it."""
    replica = Replica([], SETTINGS)
    return replica.evaluator, Market("kraken_spot", symbol, replica.span)


def fold(evaluator: Evaluator, market: Market, trades: list[Trade], offset: int) -> Outcome:
    """Fold one message."""
    frame = decode_frame(encode_frame(market.venue, market.symbol, trades, 1))
    message = Trades(market.venue, market.symbol, frame.kind, 1, frame)
    return evaluator.fold(market, message, message_us=4 * 10**15, partition=0, offset=offset)


def test_a_pane_of_ids_alone_is_not_judged_when_it_is_over() -> None:
    """A live copy of a trade that came as a block first makes its pane live, and adds no figure to it."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(500_000, kind="block")
    tape.wait(2).trade(1)
    block, newest = records(tape.trades)
    evaluator, market = a_price_mover()
    copy = msgspec.structs.replace(block, kind=Kind.FILL)
    for offset, trade in enumerate((block, copy, newest)):
        assert fold(evaluator, market, [trade], offset).alerts == []
    assert rows_of_moves([*tape.trades[:1], replace(tape.trades[0], kind="fill"), tape.trades[1]]) == []


def rows_of_moves(trades: list[OracleTrade]) -> list[dict[str, Any]]:
    return [row for row in Oracle(trades, TERMS).alerts() if row["rule"] == "price_move"]


def test_a_market_that_never_alerted_has_the_head_that_it_always_had() -> None:
    """An empty list of marks for its rule, as 0.1 wrote it."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(1)
    replica = Replica(frames_of(records(tape.trades), 1)).run()
    assert replica.market("kraken_spot", "XRP/USD").marks == {"volume": []}


def test_what_a_head_says_of_closed_panes_outlives_a_flush_before_the_first_trade() -> None:
    """A market may be loaded and stored again by a message that is refused."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(1)
    evaluator, market = a_price_mover()
    fold(evaluator, market, records(tape.trades), 0)
    head, chunks = market.take_dirty()
    again = Market(market.venue, market.symbol, market.span)
    again.restore(head, chunks)
    assert closing_of(again.take_dirty()[0]) == closing_of(head) == (True, 1, 0)


def test_a_copy_of_a_live_trade_lets_no_pane_alert_that_a_snapshot_alone_has_filled() -> None:
    """It is judged once one of its own trades comes live, in whatever worker that is."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(10)
    tape.wait(100).trade(1_200_000, snapshot=True)
    live, shown = tape.trades
    told_live = replace(shown, is_snapshot=False)
    assert Oracle([live, shown, live], replace(TERMS, in_order_given=True)).alerts() == []
    replica = Replica(frames_of(records([live, shown, live, told_live]), 1))
    replica.run(until=3)
    assert rows(replica) == []
    replica.flush()
    replica.committed = 3
    replica.start()
    replica.run()
    assert [row["pane"] for row in rows(replica)] == [shown.time_us // 1_000_000]


def test_a_worker_that_starts_in_a_live_pane_judges_what_a_snapshot_adds_to_it() -> None:
    """Also where no rule waits for panes to be over."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(10)
    tape.trade(1_200_000, snapshot=True)
    replica = Replica(frames_of(records(tape.trades), 1)).run(until=1)
    replica.flush()
    replica.committed = 1
    replica.start()
    replica.run()
    assert len(rows(replica)) == 1


def test_an_alert_says_since_when_its_market_is_counted() -> None:
    """Also from a worker that took the market over."""
    tape = Tape(1, "XRP/USD", price="2.4", tick="0.00001")
    tape.trade(1)
    tape.wait(20).trade(600_000)
    tape.wait(10).trade(600_000)
    evaluator, market = a_price_mover()
    first, *later = records(tape.trades)
    fold(evaluator, market, [first], 0)
    again = Market(market.venue, market.symbol, market.span)
    again.restore(*market.take_dirty())
    (alert,) = [alert for alert in fold(evaluator, again, later, 1).alerts if alert.rule == "volume"]
    began = first.time_us // 1_000_000
    assert (alert.covered_since, alert.counted_from) == (began, began)
    assert alert.window_start < began < alert.pane
