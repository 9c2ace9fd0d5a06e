"""The hot path costs no more than it did, and a change that makes it dearer does not go unseen."""

import pytest

from agents.counting.evaluation import Evaluator
from agents.counting.runs import Trades
from agents.counting.tally import Outcome
from agents.rules.book import RuleBook
from tables.market.span import Span
from tables.market.state import Market
from tests.benchmarks.guard.cost import Cost, dearer, steps_of
from tests.benchmarks.guard.paths import PATHS, fold_frames
from tests.benchmarks.guard.stored import MORE_STEPS, MORE_TIME, baseline, faults


class Dearer(Evaluator):
    """An evaluator that folds every fourth frame into another market too."""

    def __init__(self, rules: RuleBook, *, window: int, cooldown: int, max_future_us: int) -> None:
        super().__init__(rules, window=window, cooldown=cooldown, max_future_us=max_future_us)
        self.other, self.calls = Market("bench", "OTHER/USD", Span(300, 4200)), 0

    def fold(
        self, market: Market, trades: Trades, *, message_us: int, partition: int, offset: int, start: int = 0
    ) -> Outcome:
        self.calls += 1
        markets = (self.other, market) if self.calls % 4 == 0 else (market,)
        self.other.flushed_watermark = market.watermark
        for one in markets:
            outcome = super().fold(one, trades, message_us=message_us, partition=partition, offset=offset, start=start)
        return outcome


@pytest.mark.parametrize("name", PATHS)
def test_a_piece_of_the_hot_path_costs_what_is_stored(name: str) -> None:
    """``python -m tests.benchmarks.guard --write`` stores what is meant to be dearer."""
    assert faults(PATHS[name], baseline()[name]) == []


def test_what_is_stored_is_of_the_pieces_that_there_are() -> None:
    """None is left over."""
    assert set(baseline()) == set(PATHS)


@pytest.mark.parametrize("size", [20, 1000])
def test_a_fold_a_quarter_dearer_is_seen(size: int) -> None:
    """Every fourth frame is counted twice here, the second time into another market."""
    found = faults(lambda: fold_frames(size, Dearer), baseline()[f"fold frames of {size}"])
    assert any(fault.startswith("steps") for fault in found), found


def test_steps_are_the_same_in_every_run() -> None:
    """So little of a difference is one."""
    assert len({steps_of(fold_frames(20).run) for _ in range(3)}) == 1


def test_what_only_time_shows_is_seen_too() -> None:
    """A call into numpy is one step, however long it takes."""
    slow, stored = Cost(steps=10, time=2.6), Cost(steps=10, time=1)
    (fault,) = dearer(slow, stored, steps=MORE_STEPS, time=MORE_TIME)
    assert fault == "time 2.60 a trade, +160% of the stored 1.00 (at most +100%)"
