"""What is measured: the parts of the benchmark by their names."""

from dataclasses import dataclass
from typing import Final

SEED: Final = 1


@dataclass(frozen=True)
class Part:
    """Trades that every system reads.

    ``group`` trades of a market travel in one message; 1 is a JSON row. ``rate`` is trades a second of event time,
    of all markets. ``is_restore`` says that not the counting is measured but the start after it, with empty tables.
    """

    name: str
    symbols: int
    group: int
    trades: int
    rate: int = 1000
    is_restore: bool = False

    @property
    def is_rows(self) -> bool:
        """Whether each message is one JSON row."""
        return self.group == 1

    def scaled(self, scale: float) -> "Part":
        """Return the part with about so many times the trades, in whole messages of every market; an hour stays one."""
        if self.is_restore:
            return self
        step = self.symbols * self.group
        trades = max(1, round(self.trades * scale / step)) * step
        return Part(self.name, self.symbols, self.group, trades, self.rate)


# Event time stays below an hour: the longest window then holds every trade, so its figures can be checked.
PARTS: Final = (
    Part("rows-10", 10, 1, 1_000_000),
    Part("rows-1000", 1000, 1, 1_000_000),
    Part("rows-10000", 10_000, 1, 1_000_000, rate=10_000),
    Part("frames-20", 10, 20, 2_000_000),
    Part("frames-1000", 10, 1000, 2_000_000),
    # Every second of an hour trades in each market.
    Part("restore-1000", 1000, 60, 3_600_000, is_restore=True),
)
BY_NAME: Final = {part.name: part for part in PARTS}
