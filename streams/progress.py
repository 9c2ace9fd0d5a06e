"""How far a recording has been read, and how that is shown to a person or in a log."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from streams.words import counted, time_span

log = logging.getLogger(__name__)

# A line that is written over may change as often as a person reads it.
TERMINAL_SECONDS: Final = 1.0
# Lines of a log stay: six per minute, as `liqmon run` prints too (streams/local/supervisor.py).
LOG_SECONDS: Final = 10.0
# What the first second says of the rate, the last ones may not hold.
_LEAST_SECONDS: Final = 2.0


class ReadProgress:
    """Counts what has been read of a file of ``total_bytes``; ``rows`` counts trades, ``rejects`` refused rows.

    ``waiting`` returns how many of the trades have been read and no more. They count as not done.
    """

    def __init__(self, name: str, total_bytes: int) -> None:
        self.name = name
        self.total_bytes = total_bytes
        self.bytes = 0
        self.rows = 0
        self.rejects = 0
        self.waiting: Callable[[], int] = lambda: 0
        self.finished = asyncio.Event()
        self._started = time.monotonic()
        self._ended: float | None = None

    def begin(self) -> None:
        """Measure the rate from now on."""
        self._started = time.monotonic()

    def finish(self) -> None:
        """Say that no more is read."""
        self._ended = time.monotonic()
        self.finished.set()

    @property
    def done(self) -> int:
        """Trades that were read, and passed on."""
        return self.rows if self._ended else max(self.rows - self.waiting(), 0)

    @property
    def rate(self) -> float:
        """Trades a second, from the start to now or the end."""
        return self.done / max((self._ended or time.monotonic()) - self._started, 1e-9)

    @property
    def fraction(self) -> float:
        """Part of the file that is done, 0 to 1."""
        read = min(self.bytes / self.total_bytes, 1.0) if self.total_bytes else 1.0
        return read * self.done / self.rows if self.rows else read

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate so far; None where nothing can be said."""
        seconds = time.monotonic() - self._started
        if self._ended or not self.fraction or seconds < _LEAST_SECONDS:
            return None
        return seconds * (1 - self.fraction) / self.fraction

    def __str__(self) -> str:
        refused = f", {self.rejects:,} refused" if self.rejects else ""
        left = self.seconds_left
        then = "" if left is None else f", {_whole_seconds(left)} left"
        done = f"{self.fraction:4.0%}, {counted(self.done, 'trade')}"
        return f"{self.name}: {done}{refused}, {self.rate:,.0f} trades/s{then}"


def _whole_seconds(seconds: float) -> str:
    return f"{max(round(seconds), 1)} s" if seconds < 59.5 else time_span(seconds)


async def show_progress(progress: ReadProgress, stream: TextIO, *, terminal_seconds: float = TERMINAL_SECONDS) -> None:
    """Show progress until the recording is read or the task is cancelled.

    On a terminal one line is rewritten every ``terminal_seconds``; elsewhere a line is logged every 10 s and at
    the end.
    """
    on_terminal = stream.isatty()
    try:
        while not progress.finished.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(terminal_seconds if on_terminal else LOG_SECONDS):
                    await progress.finished.wait()
                    break
            if on_terminal:
                stream.write(f"\r\x1b[K{progress}")
                stream.flush()
            else:
                log.info("%s", str(progress))
    finally:
        if on_terminal:
            stream.write(f"\r\x1b[K{progress}\n")
            stream.flush()
        else:
            log.info("%s", str(progress))
