"""By which clock a record of ``trades`` is judged, where one must say what the future is: never by a publisher's alone.

A record that the broker stamped is judged by that time. It is the same for every worker, and for every replay. Where
publishers stamp records, the smaller of that time and this worker's counts. A worker whose own clock is wrong then
waits, since it would refuse good trades, or let bad ones pass. It is unready either way.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.kafka.broker_clock import ClockProbe
from streams.tasks import cancelled, first_of
from streams.topics import TRADES
from streams.worker.own_clock import OwnClock

Seconds = npt.NDArray[np.float64]

log = logging.getLogger(__name__)

# How soon a worker notices that its clock was set. A look costs microseconds.
LOOK_SECONDS: Final = 0.5


class RecordClock:
    """Says the time by which records are judged.

    ``is_stamped`` says whether the broker stamps what is written now; None where that is not known yet.
    """

    def __init__(self, probe: ClockProbe, *, limit_seconds: float) -> None:
        self.is_stamped: bool | None = None
        self._probe = probe
        self.own = OwnClock(probe.clock, limit_seconds=limit_seconds)
        self._let_go = asyncio.Event()
        self._has_let_go = False
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []

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
        """Measure the broker's clock in the background, and say when this machine's is wrong, and right again."""
        self._tasks = [asyncio.create_task(self._probe.run()), asyncio.create_task(self._watch())]

    @property
    def is_waiting(self) -> bool:
        """Whether trades wait until this machine's clock is right."""
        return self.is_stamped is False and not self.own.is_right

    async def _watch(self) -> None:
        while True:
            self._probe.show()
            self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def time_of(self, timestamp_ms: int, *, is_brokers: bool) -> float | None:
        """Return the time by which a record is judged, unix seconds. Waits while this worker's clock is wrong.

        Return None where :meth:`letting_go`, or :meth:`stop`, ended the waiting: the record must not be acknowledged.
        """
        self.is_stamped = is_brokers
        if is_brokers:
            return timestamp_ms / 1000
        if not self._probe.is_answered.is_set():
            await first_of(self._probe.is_answered.wait(), self._let_go.wait())
        # Nothing behind a record that was let go may be counted before it.
        while self._has_let_go or not self.own.is_right:
            if self._let_go.is_set():
                self._has_let_go = True
                return None
            self._look()
            await first_of(self._let_go.wait(), within_seconds=LOOK_SECONDS)
        self._look()
        return min(timestamp_ms / 1000, self.own.now())

    async def times_of(self, timestamps_ms: Sequence[int], *, are_brokers: bool) -> Seconds | None:
        """Return the times by which records are judged that follow each other, as :meth:`time_of` does for each."""
        first = await self.time_of(timestamps_ms[0], is_brokers=are_brokers)
        if first is None:
            return None
        times: Seconds = np.array(timestamps_ms, np.int64) / 1000
        # Nobody waits between them: it is the same moment for all.
        return times if are_brokers else np.minimum(times, self.own.now())

    def _look(self) -> None:
        self.own.look(waits=self.is_stamped is False)

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
        await cancelled(*self._tasks)
