"""How long the machine kept a browser's threads from a processor: what a page must not be blamed for."""

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
    """Watches all threads below a process beside a test; times are unix seconds.

    Linux counts for each thread the time that it was ready to run and did not (``schedstat``).
    """

    def __init__(self, ancestor: int | None = None) -> None:
        self._ancestor = os.getpid() if ancestor is None else ancestor
        self._times: list[float] = []
        self._waits: list[dict[str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._tasks = [
            thread / "schedstat"
            for process in below(self._ancestor)
            if "chrom" in _name(process)
            for thread in Path(f"/proc/{process}/task").iterdir()
        ]
        assert self._tasks, "no browser runs below this process"
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
        while not self._stop.wait(SAMPLE_SECONDS):
            waits = {}
            for task in self._tasks:
                try:
                    waits[str(task)] = int(task.read_bytes().split()[1])
                except OSError:
                    continue
            self._times.append(time.time())
            self._waits.append(waits)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
