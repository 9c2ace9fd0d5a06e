"""How long the machine kept threads from a processor: what a page or a worker must not be blamed for."""

import os
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.machine import below

SAMPLE_SECONDS = 0.02


class Starved:
    """Watches the threads of processes that a test has started; times are unix seconds.

    ``name`` is what is in these processes' names; without it all are watched. Linux counts for each thread the time
    that it was ready to run and did not (``schedstat``).
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._times: list[float] = []
        self._waits: list[dict[str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._tasks = [
            thread / "schedstat"
            for process in below(os.getpid())
            if self._name in _name(process)
            for thread in _threads(process)
        ]
        assert self._tasks, f"no process {self._name} runs below this one"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def seconds(self, start: float, end: float) -> float:
        """Return the longest that any one of the threads waited for a processor between two moments."""
        first = max(0, bisect_right(self._times, start) - 1)
        last = min(len(self._times) - 1, bisect_left(self._times, end))
        before, after = self._waits[first], self._waits[last]
        return max(waited - before.get(task, waited) for task, waited in after.items()) / 1e9

    def _watch(self) -> None:
        self._look()
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()
        # What came last is not left out, however long this thread had to wait itself.
        self._look()

    def _look(self) -> None:
        waits = {}
        for task in self._tasks:
            try:
                waits[str(task)] = int(task.read_bytes().split()[1])
            except OSError:
                continue
        self._times.append(time.time())
        self._waits.append(waits)


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
