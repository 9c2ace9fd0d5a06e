"""Price moves where trades come late and owners die or freeze: the rows are the oracle's all the same."""

from decimal import Decimal
from typing import Any

import pytest

from streams.settings import load_settings
from tests.agents.replica import Owners, Replica, frames_of, rows
from tests.oracle import Oracle, OracleTrade, Terms
from tests.recordings import Tape, duplicated, interleaved, with_snapshots, with_swings, with_wicks
from tests.wire import records

SEEDS = 20
FRAMINGS = (1, 3, 20)
PRICE_MOVE_PCT = Decimal("0.3")
TERMS = Terms(price_move_pct=PRICE_MOVE_PCT)
SETTINGS = load_settings(price_move_pct=PRICE_MOVE_PCT)


def restless(seed: int) -> list[OracleTrade]:
    """Return two markets whose price hovers about the threshold.

    Inside a pane it leaves and returns, which no alert may show. Late trades open and close windows that are over.
    """
    tapes = (
        Tape(seed, "ETH/USD", price="2500", tick="0.01"),
        Tape(seed, "PF_XBTUSD", price="60000", tick="0.5", lot="0.0001"),
    )
    for tape in tapes:
        random = tape.random
        tape.calm(60, 0.3)
        for _ in range(5):
            drift = random.choice((-1, 1)) * random.uniform(0, 0.0005)
            tape.surge(30_000, random.uniform(3, 20), trades=random.randrange(5, 15), drift=drift)
            tape.calm(random.choice((20, 90, 330)), 0.3)
    trades = with_wicks(interleaved(*(tape.trades for tape in tapes)), seed)
    return duplicated(with_swings(with_snapshots(trades, seed), seed), seed, share=0.05)


def moves(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in found if row["rule"] == "price_move"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_owners_that_die_or_freeze_raise_the_price_moves_that_an_untroubled_one_does(seed: int) -> None:
    """A replay meets trades of the future: what it judged once it must not judge again by them."""
    trades = restless(seed)
    expected = moves(Oracle(trades, TERMS).alerts())
    log = frames_of(records(trades), FRAMINGS[seed % len(FRAMINGS)])
    untroubled = Replica(log, SETTINGS).run()
    assert moves(rows(untroubled)) == expected
    assert rows(Owners(log, SETTINGS, seed).run().current) == rows(untroubled)
    assert len(expected) > 3
