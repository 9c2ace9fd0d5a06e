"""Which trades are missing follows from the ids in the panes, however they came there."""

from itertools import pairwise
from random import Random

import pytest

from tables.market.chunk import CHUNK_PANES
from tables.market.gaps import Gap, missing
from tables.market.identities import add_range
from tables.market.span import Span
from tables.market.state import Market

SPAN = Span(window=60, retention=600, slack=10_000)
START = 1_700_000_000


def count(market: Market, number: int, trade_id: int) -> None:
    """Count a trade of one USD."""
    pane = market.open_pane(number)
    assert pane is not None
    add_range(pane.ids, trade_id, trade_id)
    pane.add_trade(trade_id, number * 10**6, 1.0, 1, 0, 1, 0, 1, False)
    market.counted(number, pane, 1, 0)


def brute(counted: dict[int, int]) -> list[Gap]:
    """Return the gaps between counted ids, each with its pane, one id at a time."""
    found: list[Gap] = []
    ids = sorted(counted)
    for before, after in pairwise(ids):
        lost = [number for number in range(before + 1, after) if number not in counted]
        if lost:
            found.append(Gap(lost[0], lost[-1], counted[before], counted[after]))
    return found


@pytest.mark.parametrize("seed", range(50))
def test_gaps_are_those_between_counted_ids(seed: int) -> None:
    """Trades in and out of order, some never, chunks at rest and awake; late ones fill gaps."""
    random = Random(seed)
    market, counted = Market("v", "A/USD", SPAN), {}
    second, tape = START, []
    for trade_id in range(1, 400):
        second += random.choice((0, 0, 1, 1, random.randrange(40)))
        tape.append((second, trade_id))
    share = random.choice((0.0, 0.01, 0.1))
    lost = {trade_id for trade_id in range(2, 400) if random.random() < share}
    lost |= set(range(start := random.randrange(2, 300), start + random.randrange(1, 80)))
    late = {trade_id for trade_id in lost if random.random() < 0.3}
    for second, trade_id in [*(one for one in tape if one[1] not in lost), *(one for one in tape if one[1] in late)]:
        before = market.watermark
        if before >= 0 and second <= before - SPAN.retention + 1:
            continue
        count(market, second, trade_id)
        counted[trade_id] = second
        if random.random() < 0.05:
            market.take_dirty()
            market.rest()
        if random.random() < 0.1:
            kept = {number: pane for number, pane in counted.items() if pane // CHUNK_PANES in market.chunks}
            assert market.gaps() == brute(kept), f"seed {seed}"


def test_a_trade_on_the_other_side_of_a_second_is_not_missing() -> None:
    """Ids and times may cross: whole seconds are no place to look for gaps."""
    market = Market("v", "A/USD", SPAN)
    for number, trade_id in ((0, 1), (0, 3), (1, 2), (1, 4)):
        count(market, START + number, trade_id)
    assert market.gaps() == []


def test_a_gap_counts_wherever_its_trades_may_have_been() -> None:
    """Nobody knows on which side of a window's start they were."""
    gaps = [Gap(5, 7, 100, 110), Gap(9, 9, 120, 120)]
    assert missing(gaps, 90, 99) == 0
    assert missing(gaps, 105, 119) == 3
    assert missing(gaps, 110, 200) == 4
    assert missing(gaps, 111, 200) == 1
