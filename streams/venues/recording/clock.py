"""The speed at which a recording is played."""

import asyncio
from collections.abc import Iterator
from typing import Final

from streams.model.trade import Batch, Trade
from streams.venues.recording.merging import is_divisible, when
from streams.venues.recording.times import MICROS

# At a given speed, trades due within this time of each other go out together.
SLICE_SECONDS: Final = 0.01


class Clock:
    """Holds trades back until they are due, ``speed`` seconds of the recording to one of ours."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first_us: int | None = None
        self._started = 0.0

    def slices(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch without receipt time where its trades are due apart."""
        if not is_divisible(batch):
            yield batch
            return
        slice_us = SLICE_SECONDS * self._speed * MICROS
        rejects = batch.rejects
        part: list[Trade] = []
        for trade in batch.trades:
            if part and abs(trade.time_us - part[0].time_us) > slice_us:
                yield Batch(part, 0, rejects)
                part, rejects = [], []
            part.append(trade)
        yield Batch(part, 0, rejects)

    async def wait(self, batch: Batch) -> None:
        """Return when the batch is due; at once where its time lies before that of an earlier one."""
        time_us = when(batch)
        if not time_us:
            return
        now = asyncio.get_running_loop().time()
        if self._first_us is None:
            self._first_us, self._started = time_us, now
        await asyncio.sleep(max(0.0, self._started + (time_us - self._first_us) / MICROS / self._speed - now))
