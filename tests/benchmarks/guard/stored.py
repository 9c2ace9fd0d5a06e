"""What each piece of the path cost when somebody last wrote that down, and how much dearer it may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks.guard.cost import ROUNDS, Cost, cost_of, dearer
from tests.benchmarks.guard.paths import Piece

BASELINE: Final = Path(__file__).with_name("baseline.json")
MORE_STEPS: Final = 0.1
"""Steps are counted. Releases of Python differ by a few of a hundred, since they tell lines apart in other ways."""

MORE_TIME: Final = 1.0
"""Ratios differ by half between releases of Python and machines, whose caches and vector units are not alike."""

SECOND_ROUNDS: Final = 5 * ROUNDS


def baseline() -> dict[str, Cost]:
    """Return what is stored, by the name of a piece."""
    return msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, Cost])


def write(costs: dict[str, Cost]) -> None:
    """Store it anew."""
    BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")


def faults(make: Callable[[], Piece], stored: Cost, *, more_time: float = MORE_TIME) -> list[str]:
    """Return in what a piece is dearer than stored. What seems so is measured again for longer before it is said."""
    found = list(dearer(cost_of(make), stored, steps=MORE_STEPS, time=more_time))
    # Steps are what they are.
    if not any(fault.startswith("time") for fault in found):
        return found
    return list(dearer(cost_of(make, rounds=SECOND_ROUNDS), stored, steps=MORE_STEPS, time=more_time))
