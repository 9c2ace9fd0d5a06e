"""Trades that come late: which alerts they raise depends on their order alone, not on the frames they came in."""

import pytest

from streams.settings import load_settings
from tests.agents.replica import Replica, frames_of, rows
from tests.oracle import Oracle, OracleTrade, Terms
from tests.recordings import Tape, interleaved, with_snapshots
from tests.wire import records

SEEDS = 40
IN_ORDER = Terms(in_order_given=True)


def busy_and_late(seed: int) -> list[OracleTrade]:
    """Return two markets that cross their thresholds again and again; whole bursts come up to minutes late."""
    spot = Tape(seed, "ETH/USD", price="2500", tick="0.01")
    futures = Tape(seed, "PF_XBTUSD", price="60000", tick="0.5", lot="0.0001")
    for tape in (spot, futures):
        random = tape.random
        tape.calm(60, 0.3)
        for _ in range(5):
            if tape is spot:
                tape.surge(500_000, random.uniform(3, 20), trades=random.randrange(5, 15))
            else:
                tape.cascade(150_000, random.uniform(3, 20), trades=random.randrange(5, 15))
            tape.calm(random.choice((20, 90, 330)), 0.3)
    return with_snapshots(interleaved(*(with_late_bursts(tape) for tape in (spot, futures))), seed, share=0.1)


def with_late_bursts(tape: Tape) -> list[OracleTrade]:
    trades = tape.trades
    for _ in range(8):
        length = tape.random.randrange(2, 12)
        first = tape.random.randrange(len(trades) - length)
        burst = trades[first : first + length]
        del trades[first : first + length]
        at = first + tape.random.randrange(5, 80)
        trades[at:at] = burst
    return trades


def crossing_with_snapshots(seed: int) -> list[OracleTrade]:
    """Return bursts in which every third trade is a snapshot's, and which cross only with those."""
    tape = Tape(seed, "ETH/USD", price="2500", tick="0.01")
    tape.calm(60, 0.3)
    for _ in range(6):
        tape.surge(900_000, tape.random.uniform(0.5, 6), trades=tape.random.randrange(5, 40))
        tape.calm(tape.random.choice((20, 90, 330)), 0.3)
    return with_snapshots(tape.trades, seed, share=0.3)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_a_snapshot_adds_to_a_live_pane_alerts_in_whatever_frames_it_came(seed: int) -> None:
    """A pane is live once it has a live trade; from then on each trade of it counts for the alert."""
    trades = crossing_with_snapshots(seed)
    expected = Oracle(trades, IN_ORDER).alerts()
    assert expected == Oracle(trades).alerts()
    for size in (1, 3, 20, 500):
        assert rows(Replica(frames_of(records(trades), size), load_settings()).run()) == expected, size


@pytest.mark.parametrize("seed", range(SEEDS))
def test_alerts_of_late_trades_depend_on_the_order_of_trades_and_not_on_frames(seed: int) -> None:
    trades = busy_and_late(seed)
    expected = Oracle(trades, IN_ORDER).alerts()
    for size in (1, 3, 20, 500):
        assert rows(Replica(frames_of(records(trades), size), load_settings()).run()) == expected, size


def test_the_order_of_late_trades_does_decide_which_windows_alert() -> None:
    """Else the test above could not fail."""
    tapes = [busy_and_late(seed) for seed in range(SEEDS)]
    assert any(Oracle(trades, IN_ORDER).alerts() != Oracle(trades).alerts() for trades in tapes)
