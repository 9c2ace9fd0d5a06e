"""Rows of JSON that follow each other in a partition, as columns; each is a message of its own."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self, overload

import numpy as np
import numpy.typing as npt

from agents.counting.monitor import SourceMessage

# Any trade is after a message of this second of before 1970, or before one of after 2286. Twice as far is 64 bits.
_FURTHEST_SECONDS: Final = 1e10


class SourceRows(Sequence[SourceMessage]):
    """Messages of one partition in order; ``times`` are unix seconds. A message is made where one is asked for."""

    def __init__(
        self,
        partition: int,
        offsets: Sequence[int],
        times: npt.NDArray[np.float64],
        values: Sequence[bytes | None],
        sizes: Sequence[int],
    ) -> None:
        self.partition = partition
        self.offsets = offsets
        self.values = values
        self.sizes = sizes
        self._times = times

    @classmethod
    def of(cls, messages: Sequence[SourceMessage]) -> Self:
        """Return messages of one partition, at least one, as columns."""
        return cls(
            messages[0].partition,
            [message.offset for message in messages],
            np.array([message.timestamp for message in messages]),
            [message.value for message in messages],
            [len(message.value or b"") for message in messages],
        )

    @property
    def offset(self) -> int:
        """The offset of the first message."""
        return self.offsets[0]

    @cached_property
    def received_us(self) -> npt.NDArray[np.int64]:
        """The times of all messages as :attr:`SourceMessage.received_us` says them, none further than any trade."""
        times = np.clip(self._times, -_FURTHEST_SECONDS, _FURTHEST_SECONDS)
        return np.rint(times * 1e6).astype(np.int64)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> SourceMessage: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> "SourceMessage | Self":
        if isinstance(at, slice):
            return type(self)(self.partition, self.offsets[at], self._times[at], self.values[at], self.sizes[at])
        return SourceMessage(self.values[at], self.partition, self.offsets[at], float(self._times[at]))
