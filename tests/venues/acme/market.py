"""Two markets of Acme that trade, each until it has alerted more than once."""

import time
from decimal import Decimal
from random import Random
from uuid import UUID

from tests.oracle import OracleTrade
from tests.venues.acme.venue import NAME

PAIR = "PF_BTC"
PERPETUAL = "BTC-PERP"
SECONDS = 90


def trades(seed: int) -> list[OracleTrade]:
    """Return trades of the last minute and a half, in order: quantities in coins, on both markets."""
    random = Random(seed)
    start_us = (int(time.time()) - SECONDS) * 1_000_000
    made = []
    for number in range(600):
        is_pair = number % 2 == 0
        is_liquidation = not is_pair and random.random() < 0.3
        made.append(
            OracleTrade(
                venue=NAME,
                symbol=PAIR if is_pair else PERPETUAL,
                id=10_000 + number // 2 if is_pair else str(UUID(int=random.getrandbits(128), version=4)),
                side=random.choice(("buy", "sell")),
                kind="liquidation" if is_liquidation else "fill",
                price=Decimal(random.randrange(599_000, 601_000)).scaleb(-1),
                qty=Decimal(random.randrange(1, 50)).scaleb(-2),
                time_us=start_us + number * SECONDS * 1_000_000 // 600,
                labelled=not is_pair,
            )
        )
    return made
