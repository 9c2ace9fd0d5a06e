"""By which clock a record of ``trades`` is judged, where one must say what the future is: never by a publisher's alone.

A record that the broker stamped is judged by that time. It is the same for every worker, and for every replay. Where
publishers stamp records, the smaller of that time and this worker's counts. A worker whose own clock is wrong then
waits, since it would refuse good trades, or let bad ones pass.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from streams.kafka.broker_clock import ClockProbe, wall_us
from streams.tasks import cancelled
from streams.topics import TRADES

log = logging.getLogger(__name__)

# How soon a worker that waits looks at its clock again.
LOOK_SECONDS: Final = 0.5


class RecordClock:
    """Says the time by which records are judged. ``wall`` returns this machine's clock, microseconds UTC.

    ``is_stamped`` says whether the broker stamps what is written now; None where that is not known yet.
    """

    def __init__(self, probe: ClockProbe, *, limit_seconds: float, wall: Callable[[], int] = wall_us) -> None:
        self.is_stamped: bool | None = None
        self._probe = probe
        self._limit_seconds = limit_seconds
        self._wall = wall
        self._let_go = asyncio.Event()
        self._has_let_go = False
        self._is_closing = False
        self._is_said = False
        self._task: asyncio.Task[None] | None = None

    def know(self, *, is_stamped: bool | None) -> None:
        """Take note of what the topic's configuration says of its records' times; None where it does not say."""
        self.is_stamped = is_stamped
        if not is_stamped:
            # The embedded broker does not say: it runs on this machine, by the same clock.
            log.log(
                logging.INFO if is_stamped is None else logging.WARNING,
                "the broker does not stamp the records of topic %s: their publishers' clocks and this machine's decide "
                "what the future is; where the broker can, give it message.timestamp.type=LogAppendTime",
                TRADES,
            )

    def measure(self) -> None:
        """Measure the broker's clock in the background."""
        self._task = asyncio.create_task(self._probe.run())

    @property
    def is_right(self) -> bool:
        """Whether records can be judged: this worker's clock is right, or not needed."""
        return self.is_stamped is not False or not self._is_off()

    @property
    def answers_at_once(self) -> bool:
        """Whether :meth:`time_of` need not wait for a record that the broker did not stamp."""
        return self._probe.is_answered.is_set() and not self._has_let_go and not self._is_off()

    async def time_of(self, timestamp_ms: int, *, is_brokers: bool) -> float | None:
        """Return the time by which a record is judged, unix seconds. Waits while this worker's clock is wrong.

        Return None where :meth:`letting_go`, or :meth:`stop`, ended the waiting: the record must not be acknowledged.
        """
        self.is_stamped = is_brokers
        if is_brokers:
            return timestamp_ms / 1000
        if not self._probe.is_answered.is_set():
            await self._first(self._probe.is_answered.wait())
        # Nothing behind a record that was let go may be counted before it.
        while self._has_let_go or self._is_off():
            if self._let_go.is_set():
                self._has_let_go = True
                return None
            self._say()
            await self._first(asyncio.sleep(LOOK_SECONDS))
        if self._is_said:
            log.info("this machine's clock is right again: going on")
            self._is_said = False
        now_us = self._probe.clock.now_us() or self._wall()
        return min(timestamp_ms / 1000, now_us / 1_000_000)

    def _is_off(self) -> bool:
        skew = self._probe.clock.skew_seconds()
        return skew is not None and abs(skew) > self._limit_seconds

    def _say(self) -> None:
        if not self._is_said:
            self._is_said = True
            skew = self._probe.clock.skew_seconds() or 0.0
            log.error(
                "this machine's clock is %.1f s %s the broker's, more than MAX_CLOCK_SKEW_SECONDS: set it right; "
                "until then nothing is judged, nothing is refused and nothing is acknowledged",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
            )

    async def _first(self, waited: Awaitable[object]) -> None:
        """Wait for something, or until waiting must end."""
        waits = [asyncio.ensure_future(waited), asyncio.ensure_future(self._let_go.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    @contextlib.contextmanager
    def letting_go(self) -> Iterator[None]:
        """Wait for no clock inside the block: partitions move, and their next owner judges what waits."""
        self._let_go.set()
        try:
            yield
        finally:
            if not self._is_closing:
                self._let_go.clear()
                self._has_let_go = False

    async def stop(self) -> None:
        """Stop waiting: the process ends, and the next one goes on from the last commit."""
        self._is_closing = True
        self._let_go.set()
        if self._task is not None:
            await cancelled(self._task)
