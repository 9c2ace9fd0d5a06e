"""The broker's clock, measured: what its acknowledgements say, carried on by a clock that nobody sets.

A topic whose records get the broker's time (``message.timestamp.type=LogAppendTime``) tells that time with each
acknowledgement. The measurement is off by at most the round trip.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError

from streams import metrics
from streams.kafka.outbound import Record, Send
from streams.topics import CLOCK
from streams.unexpected import say_once

log = logging.getLogger(__name__)

APPEND_TIME: Final = 1
"""How Kafka marks a record, or an acknowledgement, whose time is the broker's (``timestamp_type``)."""

LEAST_MS: Final = 1_230_768_000_000
"""2009: the embedded broker answers 1234 ms, whatever the time is."""

MEASURE_SECONDS: Final = 10.0
"""How often the broker's clock is asked for. A clock that was set is noticed at once, the broker's after this."""

# Clocks of computers drift apart by less than 0.1 ms a second, so a minute adds less than most round trips.
KEEP_SECONDS: Final = 60.0
# An acknowledgement that took longer may be one of a batch sent twice. It then has the time of the first one.
LONGEST_SECONDS: Final = 5.0


def steady_us() -> int:
    """Return microseconds of a clock that is never set, and that goes on while the machine sleeps where it can."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1000


def wall_us() -> int:
    """Return this machine's clock, microseconds UTC."""
    return time.time_ns() // 1000


def told_ms(answer: Any) -> int | None:
    """Return the broker's time in an acknowledgement (aiokafka's), milliseconds UTC; None where it has none."""
    is_told = answer.timestamp_type == APPEND_TIME and answer.timestamp >= LEAST_MS
    return int(answer.timestamp) if is_told else None


class _Measured(msgspec.Struct, frozen=True):
    """The broker's clock is ahead of the steady clock by ``least_us`` to ``most_us``; ``at_us`` is when that was."""

    least_us: int
    most_us: int
    at_us: int

    @property
    def width_us(self) -> int:
        return self.most_us - self.least_us


class BrokerClock:
    """What is known of the broker's clock. ``wall`` and ``steady`` return microseconds."""

    def __init__(self, wall: Callable[[], int] = wall_us, steady: Callable[[], int] = steady_us) -> None:
        self._wall = wall
        self._steady = steady
        self._measured: _Measured | None = None

    def acknowledged(self, sent_us: int, broker_ms: int) -> None:
        """Take note of the time that the broker gave to a record sent at ``sent_us`` of the steady clock."""
        now_us = self._steady()
        if now_us - sent_us > LONGEST_SECONDS * 1_000_000:
            return
        # Kafka cuts its time off to milliseconds.
        found = _Measured(broker_ms * 1000 - now_us, broker_ms * 1000 + 1000 - sent_us, now_us)
        known = self._measured
        if (
            known is None
            or found.width_us <= known.width_us
            or now_us - known.at_us > KEEP_SECONDS * 1_000_000
            or found.least_us > known.most_us
            or found.most_us < known.least_us
        ):
            self._measured = found

    def now_us(self) -> int | None:
        """Return the time by the broker's clock, microseconds UTC; None where it was never measured."""
        known = self._measured
        return None if known is None else self._steady() + (known.least_us + known.most_us) // 2

    def time(self) -> float:
        """Return the time, unix seconds: by the broker's clock where it was measured, else by this machine's."""
        now_us = self.now_us()
        return (self._wall() if now_us is None else now_us) / 1_000_000

    def skew_seconds(self) -> float | None:
        """Return by how much this machine's clock is ahead of the broker's; None where that is not known."""
        now_us = self.now_us()
        return None if now_us is None else (self._wall() - now_us) / 1_000_000


class ClockProbe:
    """Measures the broker's clock again and again, by a small record on the topic ``clock``.

    ``is_answered`` is set once it was asked for the first time, with or without an answer.
    """

    def __init__(self, clock: BrokerClock, send: Send, steady: Callable[[], int] = steady_us) -> None:
        self.clock = clock
        self.is_answered = asyncio.Event()
        self._send = send
        self._steady = steady

    async def measure(self) -> bool:
        """Ask once; return whether the broker tells its time. Raises what the client raises."""
        sent_us = self._steady()
        # Shielded: the client does not expect that anybody cancels its futures.
        answer: Any = await asyncio.shield(await self._send(Record(CLOCK, b"", b"", 0)))
        broker_ms = told_ms(answer)
        if broker_ms is not None:
            self.clock.acknowledged(sent_us, broker_ms)
        return broker_ms is not None

    async def run(self) -> None:
        """Measure until cancelled; end where this broker never tells its time."""
        while True:
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    if not await self.measure():
                        self.is_answered.set()
                        return
            except (KafkaError, OSError):  # TimeoutError is one
                pass  # a broker that is away says nothing of its clock, and others say that it is away
            except Exception as error:  # noqa: BLE001 - a measurement that ended would be missed by nobody
                say_once(log, "measuring the broker's clock", error)
            self.is_answered.set()
            self.show()
            await asyncio.sleep(MEASURE_SECONDS)

    def show(self) -> None:
        """Bring the metric up to date."""
        if (skew := self.clock.skew_seconds()) is not None:
            metrics.clock_skew_seconds.labels("broker").set(skew)
