"""Whatever is dropped between a fetch and its use: every message of the log is taken once, in order."""

from random import Random

import pytest
from faust.types import TP

from streams.worker.continuity import Continuity, Step

PLACE = TP("trades", 3)


class Consumer:
    """A client's position in a log, and a careless way from there to whoever takes the messages.

    ``log`` is the offsets that exist. A fetch brings the next ones in pieces. Pieces, or the rest of a fetch,
    get lost. Now and then somebody seeks the committed offset, with a fetch before that ending after it.
    """

    def __init__(self, log: list[int], random: Random) -> None:
        self.log = log
        self.position = log[0]
        self.committed = log[0]
        self.taken: list[int] = []
        self.random = random
        self.continuity = Continuity()
        self.continuity.begin({PLACE: self.position})

    def fetch(self) -> list[tuple[int, int, list[int]]]:
        """Return pieces as (first, last, offsets), and move the position behind them."""
        found = [offset for offset in self.log if offset >= self.position][: self.random.randint(1, 8)]
        if found:
            self.continuity.fetched(PLACE, found[0])
        pieces = []
        while found:
            size = self.random.randint(1, 3)
            piece, found = found[:size], found[size:]
            pieces.append((piece[0], piece[-1], piece))
        if pieces:
            self.position = pieces[-1][1] + 1
        return pieces

    def seek_committed(self) -> None:
        """Do what a rebalance does; what was taken and not committed comes again."""
        self.continuity.forget()
        self.position = self.committed
        self.taken = [offset for offset in self.taken if offset < self.committed]
        if self.random.random() < 0.5:
            # A fetch that began before ends in the middle of it.
            self.deliver(self.fetch(), loss=0)
        if self.continuity.begin({PLACE: self.committed}):
            if self.random.random() < 0.5:
                # And another before the position is put back.
                self.deliver(self.fetch(), loss=0)
            self.position = self.committed

    def deliver(self, pieces: list[tuple[int, int, list[int]]], loss: float) -> None:
        """Judge what is left of a fetch."""
        for first, last, offsets in pieces:
            if self.random.random() < loss:
                if self.random.random() < 0.5:
                    return
                continue
            step = self.continuity.judge(PLACE, first, last)
            if step is Step.TAKE:
                self.taken += offsets
            elif step is Step.REWIND:
                self.fetch_again()

    def fetch_again(self) -> None:
        """Put the position back to what is missing, where that is known."""
        wanted = self.continuity.wanted(PLACE)
        if wanted is not None:
            self.position = wanted


@pytest.mark.parametrize("seed", range(200))
def test_everything_is_taken_once_and_in_order(seed: int) -> None:
    """Through losses, seeks and holes of the log itself."""
    random = Random(seed)
    log = [offset for offset in range(100, 300) if random.random() < (0.9 if seed % 2 else 1)]
    consumer = Consumer(log, random)
    for turn in range(400):
        loss = 0.3 if turn < 200 else 0.0
        pieces = consumer.fetch()
        if turn == 200 or (loss and random.random() < 0.1):
            consumer.seek_committed()
        consumer.deliver(pieces, loss)
        assert consumer.taken == log[: len(consumer.taken)]
        if random.random() < 0.2:
            consumer.committed = consumer.taken[-1] + 1 if consumer.taken else log[0]
    assert consumer.taken == log


def test_nothing_is_taken_before_it_is_known_where_to_begin() -> None:
    """Positions are sought one after another: what comes meanwhile comes again."""
    continuity = Continuity()
    assert continuity.judge(PLACE, 7, 9) is Step.DROP
    continuity.begin({PLACE: 7})
    assert continuity.judge(PLACE, 7, 9) is Step.TAKE
    continuity.forget()
    assert continuity.judge(PLACE, 10, 10) is Step.DROP


def test_what_is_dropped_before_it_is_judged_is_fetched_again() -> None:
    """From where the last piece ended; or, where nobody has said where to begin, once somebody does."""
    continuity = Continuity()
    assert continuity.wanted(PLACE) is None
    assert continuity.begin({PLACE: 7}) == {PLACE}
    assert continuity.wanted(PLACE) == 7
    assert continuity.judge(PLACE, 7, 9) is Step.TAKE
    assert continuity.wanted(PLACE) == 10


def test_what_was_taken_is_not_taken_again() -> None:
    """Nor with what follows it in one piece: that is fetched again without."""
    continuity = Continuity()
    continuity.begin({PLACE: 7})
    assert continuity.judge(PLACE, 7, 9) is Step.TAKE
    assert continuity.judge(PLACE, 8, 9) is Step.DROP
    assert continuity.judge(PLACE, 8, 12) is Step.REWIND
    assert continuity.judge(PLACE, 13, 14) is Step.DROP
    assert continuity.wanted(PLACE) == 10
    continuity.fetched(PLACE, 10)
    assert continuity.judge(PLACE, 10, 12) is Step.TAKE


def test_a_hole_is_believed_when_it_is_fetched_again() -> None:
    """Not in the rest of the fetch that showed it first."""
    continuity = Continuity()
    continuity.begin({PLACE: 7})
    continuity.fetched(PLACE, 9)
    assert continuity.judge(PLACE, 9, 9) is Step.REWIND
    assert continuity.judge(PLACE, 10, 12) is Step.DROP
    continuity.fetched(PLACE, 9)
    assert continuity.judge(PLACE, 9, 12) is Step.TAKE
