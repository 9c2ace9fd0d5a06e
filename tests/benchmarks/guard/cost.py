"""What a piece of the path costs: steps of Python, which are the same everywhere, and time beside a loop of its kind.

A step is a line of the program that is run, a call into it, or a call out of it into C. Neither another machine nor
other work on this one changes their number, and another release of Python hardly does. What numpy and msgspec do in one
call is a single step. Time sees that, so it is taken too, as a ratio to what a fixed loop takes in the same moments.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import numpy as np

from tests.benchmarks.guard.paths import Piece

ROOT: Final = Path(__file__).parents[3]
PROGRAM: Final = tuple(f"{ROOT / name}/" for name in ("streams", "tables", "agents"))
ROUNDS: Final = 8
"""Other work on the machine only ever adds time: the least of so many is the piece's own."""


class Cost(msgspec.Struct, frozen=True):
    """Steps and time of one trade; time as a multiple of the reference loop's turn."""

    steps: float
    time: float


def steps_of(run: Callable[[], object]) -> int:
    """Return how many steps of the program are run."""
    count = 0

    def line(_: FrameType, event: str, __: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, _: str, __: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PROGRAM):
            return None
        count += 1
        return line

    def into_c(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event == "c_call" and frame.f_code.co_filename.startswith(PROGRAM)

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(call)
    sys.setprofile(into_c)
    try:
        run()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return count


class _Item:
    """Something with attributes."""

    def __init__(self, number: int) -> None:
        self.number, self.sum = number, 0


_ROW: Final = b'{"symbol":"M1/USD","side":"buy","price":1234.56,"qty":0.01234567,"trade_id":12}'
_TURNS: Final = 200


def reference() -> int:
    """Do a little of what the path does: attributes and dicts, small structures read from bytes, short columns."""
    items: dict[int, _Item] = {}
    read = msgspec.json.Decoder(dict[str, Any]).decode
    for turn in range(_TURNS):
        item = items.get(turn & 15)
        if item is None:
            item = items[turn & 15] = _Item(turn)
        item.sum += len(read(_ROW)) + max(item.number, turn)
        if not turn & 7:
            column = np.frombuffer(_ROW[:64], "<i8")
            item.sum += int((column >> 8).sum() % 1000) + int(np.diff(column).min() < 0)
    return sum(item.sum for item in items.values())


def _seconds(run: Callable[[], object]) -> float:
    # Its own processor time: what others do meanwhile is left out.
    began = time.thread_time_ns()
    run()
    return (time.thread_time_ns() - began) / 1e9


def cost_of(make: Callable[[], Piece], *, rounds: int = ROUNDS) -> Cost:
    """Return what a piece costs, each trade; it is made anew for each round."""
    make().run()
    counted = make()
    steps = steps_of(counted.run) / counted.trades
    reference()
    own, fixed = [], []
    # Whatever else the process holds would be looked through in the middle.
    gc.disable()
    try:
        for _ in range(rounds):
            piece = make()
            fixed.append(_seconds(reference))
            own.append(_seconds(piece.run))
            fixed.append(_seconds(reference))
    finally:
        gc.enable()
    return Cost(round(steps, 3), round(_TURNS * min(own) / counted.trades / min(fixed), 4))


def dearer(found: Cost, stored: Cost, *, steps: float, time: float) -> Iterable[str]:
    """Yield in what a piece is dearer than it was, by more than these shares."""
    for name, share in (("steps", steps), ("time", time)):
        now, before = getattr(found, name), getattr(stored, name)
        if now > before * (1 + share):
            yield f"{name} {now:.2f} a trade, {now / before - 1:+.0%} of the stored {before:.2f} (at most {share:+.0%})"
