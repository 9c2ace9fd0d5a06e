"""What a system is that reads a part's trades, and the check of what it has arrived at."""

from pathlib import Path
from typing import Protocol

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.feed import Totals
from tests.benchmarks.bench.measured import Run

TOTALS_SECONDS = 60.0
HOLD_SECONDS = 300.0
READY_SECONDS = 300.0
END_SECONDS = 120.0


class WrongTotals(Exception):
    """A system has counted something other than the trades that it was given."""


class System(Protocol):
    """Something that reads trades from Kafka."""

    name: str
    is_jvm: bool
    restores: bool
    """Whether its start after a loss of its tables is measured."""
    share: float
    """The share of a part's trades that it is given, where all would take it many minutes."""

    def prepare(self) -> None:
        """Make what it needs once, such as its jars. Raises :class:`~tests.benchmarks.peers.build.PeersUnavailable`."""

    def count(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades of a part, which ``kafka`` serves at ``address``, then end.

        Raises :class:`WrongTotals`, TimeoutError.
        """

    def hold(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Read all trades, however few, and tell the memory then. Raises as :meth:`count` does."""

    def restore(self, kafka: FilledKafka, address: str, directory: Path) -> Run:
        """Start on a Kafka on which it has counted all trades, with empty tables. Raises as :meth:`count` does."""


def check(system: str, expected: Totals, found: Totals) -> None:
    """Raise :class:`WrongTotals` where a system's totals are not those that were computed without it."""
    wrong = [symbol for symbol in sorted({*expected, *found}) if expected.get(symbol) != found.get(symbol)]
    if wrong:
        one = wrong[0]
        raise WrongTotals(
            f"{system} has wrong totals of {len(wrong)} markets; {one} has {found.get(one)}, "
            f"(trades, micro-USD) are {expected.get(one)}"
        )
