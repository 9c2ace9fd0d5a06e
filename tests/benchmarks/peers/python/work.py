"""What every peer in Python does with a trade, and what it says on standard output."""

import os
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

try:
    # What Quix Streams brings along, and the guides of others recommend.
    from orjson import loads
except ImportError:
    from json import loads

WINDOW_SECONDS = 300
# USD in a window that alert, in micro-USD: never reached, as for the program.
THRESHOLD = 10**18
LOOK_SECONDS = 0.05


class Arguments(NamedTuple):
    """What a peer is started with: brokers, topic, a directory for its state, the trades to come."""

    brokers: str
    topic: str
    directory: str
    trades: int


def arguments() -> Arguments:
    """Return those of the command line."""
    brokers, topic, directory, trades = sys.argv[1:]
    return Arguments(brokers, topic, directory, int(trades))


def rows_of(message: bytes) -> list[dict[str, Any]]:
    """Return the rows of a message: one, or an array of them."""
    read = loads(message)
    return read if isinstance(read, list) else [read]


def second_of(row: dict[str, Any]) -> int:
    """Return the second of a trade's event time, since 1970."""
    return int(datetime.fromisoformat(row["timestamp"]).timestamp())


def notional_of(row: dict[str, Any]) -> int:
    """Return price times quantity in micro-USD."""
    amount: float = row["price"] * row["qty"] * 1e6
    return round(amount)


class Panes(Protocol):
    """A symbol's panes in whatever a peer keeps: slot ``second % 300`` holds [second, notional]."""

    def get(self, slot: str) -> list[int] | None:
        """Return what a slot holds."""

    def set(self, slot: str, pane: list[int]) -> None:
        """Store it."""


@dataclass
class Window:
    """A symbol's last trade and newest second, the sum of the panes in its window, and of all trades ever."""

    last_id: int = -1
    newest: int = -1
    notional: int = 0
    trades: int = 0
    all_notional: int = 0

    def count(self, row: dict[str, Any], panes: Panes) -> bool:
        """Count a trade once, in event time; return whether the window is beyond the threshold."""
        second, trade_id = second_of(row), row["trade_id"]
        if trade_id <= self.last_id or second <= self.newest - WINDOW_SECONDS:
            return False
        if second > self.newest:
            self._move_to(second, panes)
        slot, amount = str(second % WINDOW_SECONDS), notional_of(row)
        pane = panes.get(slot)
        before = pane[1] if pane is not None and pane[0] == second else 0
        panes.set(slot, [second, amount + before])
        self.last_id = trade_id
        self.notional += amount
        self.trades += 1
        self.all_notional += amount
        return self.notional >= THRESHOLD

    def _move_to(self, second: int, panes: Panes) -> None:
        oldest = self.newest - WINDOW_SECONDS if self.newest >= 0 else second
        for fresh in range(max(self.newest, second - WINDOW_SECONDS) + 1, second + 1):
            old = panes.get(str(fresh % WINDOW_SECONDS))
            # A slot that was not used again holds what has left before.
            if old is not None and oldest < old[0] <= second - WINDOW_SECONDS:
                self.notional -= old[1]
        self.newest = second


def _say(line: str) -> None:
    # Not by print: libraries take standard output for their logs.
    os.write(1, f"{line}\n".encode())


class Progress:
    """Says how many trades were counted, while they are, then the totals."""

    def __init__(self, expected: int) -> None:
        self.counted = 0
        self.totals: dict[str, tuple[int, int]] = {}
        self._expected = expected
        threading.Thread(target=self._tell, daemon=True).start()

    def count(self, trades: int) -> None:
        """Add what a message held."""
        self.counted += trades

    def _tell(self) -> None:
        said = 0
        while said < self._expected:
            time.sleep(LOOK_SECONDS)
            if (now := self.counted) != said:
                _say(f"counted {now}")
            said = now
        # The last trade is counted before its total is kept.
        time.sleep(LOOK_SECONDS)
        for symbol, (trades, notional) in sorted(self.totals.items()):
            _say(f"total {symbol} {trades} {notional}")
        _say("done")
