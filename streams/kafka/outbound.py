"""Records on their way to the broker: sent at once, and waited for before anything they stand for is acknowledged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.backoff import Delays
from streams.errors import Fatal

log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 2000
"""Records sent and not yet acknowledged. Beyond it the sender waits, so that a slow broker slows the stream.

A market that changed is a head and mostly one chunk, so a flush of a thousand markets goes out without a pause.
"""

RECORDS_A_STEP: Final = 64
"""Records handed to the client before others have a turn: they take about 3 ms."""

# The client itself tries for long before it gives a record up, so the first attempt of ours need not wait.
RETRY_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


class Record(msgspec.Struct, frozen=True):
    """One record to send. ``partition`` None leaves the choice to the key; ``timestamp`` is unix seconds."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    timestamp: float | None = None


class Delivered(msgspec.Struct, frozen=True):
    """Where the broker put a record."""

    partition: int
    offset: int


Send = Callable[[Record], Awaitable[Awaitable[Any]]]
"""Hand a record to the client; awaiting the result of that waits for the broker's acknowledgement."""


class Outbound:
    """Sends through one client. Never loses a record: what fails is sent again until the broker has it.

    Every method raises :class:`Fatal` where the broker will never take a record: it is larger than the topic allows.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._in_flight: list[tuple[Record, Awaitable[Any]]] = []
        # Posts whose records are not all in flight: the client may be full, or wait before it tries again.
        self._beginning: set[asyncio.Future[None]] = set()
        self._settling = asyncio.Lock()

    async def post(self, *records: Record) -> None:
        """Send without waiting for the acknowledgement; :meth:`settle` waits, also for those that have yet to begin."""
        begun = asyncio.get_running_loop().create_future()
        self._beginning.add(begun)
        try:
            for record in records:
                if len(self._in_flight) >= MAX_IN_FLIGHT:
                    await self._settle_begun()
                self._in_flight.append((record, await self._start(record)))
        finally:
            self._beginning.discard(begun)
            begun.set_result(None)

    async def settle(self) -> None:
        """Wait until the broker has everything posted so far."""
        if self._beginning:
            await asyncio.wait(self._beginning)
        await self._settle_begun()

    async def _settle_begun(self) -> None:
        async with self._settling:
            while self._in_flight:
                waiting = list(self._in_flight)
                await self._finish(waiting)
                del self._in_flight[: len(waiting)]

    async def deliver(self, records: list[Record]) -> list[Delivered]:
        """Send records and wait until the broker has them all; return where, in their order."""
        done: list[Delivered] = []
        for at in range(0, len(records), MAX_IN_FLIGHT):
            part = []
            for number, record in enumerate(records[at : at + MAX_IN_FLIGHT], 1):
                part.append((record, await self._start(record)))
                if number % RECORDS_A_STEP == 0:
                    # The client takes them without a pause while it has room.
                    await asyncio.sleep(0)
            done += await self._finish(part)
        return done

    async def _start(self, record: Record) -> Awaitable[Any]:
        delays = Delays(RETRY_SECONDS)
        while True:
            try:
                return await self._send(record)
            except (KafkaError, OSError) as error:
                await _pause(delays, record.topic, error)

    async def _finish(self, waiting: list[tuple[Record, Awaitable[Any]]]) -> list[Delivered]:
        done = []
        for record, sent in waiting:
            delays, future = Delays(RETRY_SECONDS), asyncio.ensure_future(sent)
            while True:
                try:
                    # The answer to a batch of records ends them all: of a thousand the first is waited for.
                    metadata = future.result() if future.done() else await asyncio.shield(future)
                except (KafkaError, OSError) as error:
                    await _pause(delays, record.topic, error)
                    future = asyncio.ensure_future(await self._start(record))
                else:
                    done.append(Delivered(metadata.partition, metadata.offset))
                    break
        return done


async def _pause(delays: Delays, topic: str, error: Exception) -> None:
    if isinstance(error, MessageSizeTooLargeError):
        raise Fatal(
            f"a record for {topic} is too large for the broker ({error}): raise max.message.bytes of that topic"
        ) from None
    if not delays.taken:
        log.warning("the broker did not take a record for %s (%s); sending it again until it does", topic, error)
    await asyncio.sleep(delays.next_seconds())
