"""What is measured: the parts of the benchmark by their names."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

SEED: Final = 1


class Measured(Enum):
    """What of a system is measured: its counting, a start with empty tables after it, or its memory after it.

    ``ALONE`` is what no peer does: a module of its own measures it (:mod:`tests.benchmarks.bench.alone`).
    """

    COUNTING = "counting"
    RESTORE = "restore"
    MEMORY = "memory"
    ALONE = "alone"


@dataclass(frozen=True)
class Part:
    """Trades that every system reads.

    ``group`` trades of a market travel in one message; 1 is a JSON row. ``rate`` is trades a second of event time,
    of all markets.
    """

    name: str
    symbols: int
    group: int
    trades: int
    rate: int = 1000
    measured: Measured = Measured.COUNTING

    @property
    def is_rows(self) -> bool:
        """Whether each message is one JSON row."""
        return self.group == 1

    def scaled(self, scale: float) -> "Part":
        """Return the part with about so many times the trades, in whole messages of every market; an hour stays one."""
        if self.measured is not Measured.COUNTING:
            return self
        step = self.symbols * self.group
        return replace(self, trades=max(1, round(self.trades * scale / step)) * step)


# Event time stays below an hour: the longest window then holds every trade, so its figures can be checked.
PARTS: Final = (
    Part("rows-10", 10, 1, 1_000_000),
    Part("rows-1000", 1000, 1, 1_000_000),
    Part("rows-10000", 10_000, 1, 1_000_000, rate=10_000),
    Part("frames-20", 10, 20, 2_000_000),
    Part("frames-1000", 10, 1000, 2_000_000),
    # Every second of an hour trades in each market.
    Part("restore-1000", 1000, 60, 3_600_000, measured=Measured.RESTORE),
    Part("memory-full-1000", 1000, 60, 3_600_000, measured=Measured.MEMORY),
    # One trade each: what 10 000 of them take beyond what 10 take is that of silent markets.
    Part("memory-silent-10", 10, 1, 10, measured=Measured.MEMORY),
    Part("memory-silent-10000", 10_000, 1, 10_000, rate=10_000, measured=Measured.MEMORY),
    Part("latency-1000", 10, 2, 1000, measured=Measured.ALONE),
    Part("latency-20000", 1000, 2, 20_000, rate=20_000, measured=Measured.ALONE),
    Part("recording", 1, 1, 1_000_000, measured=Measured.ALONE),
)
BY_NAME: Final = {part.name: part for part in PARTS}


def named(name: str) -> list[Part]:
    """Return the part of this name, or all whose names begin with it, as ``memory``. Raises :class:`KeyError`."""
    if name in BY_NAME:
        return [BY_NAME[name]]
    if found := [part for part in PARTS if part.name.startswith(f"{name}-")]:
        return found
    raise KeyError(name)
