"""Records of a partition as columns: a batch at a time, with no object of Python's for each record.

aiokafka makes an object of eleven fields for each record. That takes as long as it takes to read a row of JSON. Inside
:func:`in_columns` it hands on batches of ``trades`` as :class:`Columns` instead. Which batches it passes over, and
where it goes on, is its own doing: to its loop over records a batch is a single one.

Keys and headers of ``trades`` are not read: nobody asks for them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol, Self

from streams.kafka.broker_clock import APPEND_TIME
from streams.topics import TRADES

_ARE_ASKED_FOR: Final = ContextVar("are_asked_for", default=False)

# What a record of before Kafka 0.10 has instead of a time.
NO_TIME: Final = -1


@contextmanager
def in_columns() -> Iterator[None]:
    """Let what is fetched of ``trades`` inside the block come as columns."""
    token = _ARE_ASKED_FOR.set(True)
    try:
        yield
    finally:
        _ARE_ASKED_FOR.reset(token)


def are_columns(topic: str) -> bool:
    """Whether what is fetched of a topic here and now comes as columns."""
    return topic == TRADES and _ARE_ASKED_FOR.get()


class Columns(NamedTuple):
    """Records of a partition that follow each other, at least one. ``sizes`` are the bytes of their values.

    ``are_brokers_times`` says whose the timestamps are: the broker's, or the publishers'.
    """

    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    values: Sequence[bytes | None]
    sizes: Sequence[int]
    are_brokers_times: bool

    @property
    def first(self) -> int:
        """The offset of the first record."""
        return self.offsets[0]

    @property
    def offset(self) -> int:
        """The offset of the last record, by which aiokafka goes on."""
        return self.offsets[-1]

    def part(self, start: int, end: int) -> Self:
        """Return the records at these places."""
        return self._replace(
            offsets=self.offsets[start:end],
            timestamps_ms=self.timestamps_ms[start:end],
            values=self.values[start:end],
            sizes=self.sizes[start:end],
        )


def columns_of(records: Sequence[Any], wanted: int) -> Columns | None:
    """Return the client's records of one batch from the offset ``wanted`` on; None where there are none."""
    if not records:
        return None
    first, last = records[0].offset, records[-1].offset
    offsets: Sequence[int]
    if last - first + 1 == len(records):
        offsets, records = range(max(first, wanted), last + 1), records[max(0, wanted - first) :]
    else:
        kept = []
        for record in records:
            # As aiokafka does, record by record.
            if record.offset >= wanted:
                wanted = record.offset + 1
                kept.append(record)
        offsets, records = [record.offset for record in kept], kept
    if not records:
        return None
    values = [record.value for record in records]
    are_brokers = records[0].timestamp_type == APPEND_TIME
    time_ms = records[0].timestamp
    if are_brokers or time_ms is None:
        # One for all of a batch.
        times = [NO_TIME if time_ms is None else time_ms] * len(records)
    else:
        times = [record.timestamp for record in records]
    return Columns(offsets, times, values, [len(value) if value else 0 for value in values], are_brokers)


def joined(parts: Sequence[Columns]) -> Columns:
    """Return columns that follow each other, whose times are of one kind, as one."""
    if len(parts) == 1:
        return parts[0]
    offsets, times, values, sizes = list[int](), list[int](), list[bytes | None](), list[int]()
    for part in parts:
        offsets += part.offsets
        times += part.timestamps_ms
        values += part.values
        sizes += part.sizes
    return Columns(offsets, times, values, sizes, parts[0].are_brokers_times)


class Batch(Protocol):
    """A batch of the client's, which it goes through record by record."""

    def __iter__(self) -> Iterator[Any]:
        """Begin with the first."""
        ...

    def __next__(self) -> Any:
        """Return the next."""
        ...


class WholeBatch:
    """A batch of the client's whose only record is all of its records; otherwise it is as it was."""

    def __init__(self, batch: Batch, wanted: int) -> None:
        self._batch = batch
        self._wanted = wanted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Columns]:
        columns = columns_of(list(self._batch), self._wanted)
        return iter(() if columns is None else (columns,))

    def __next__(self) -> Any:
        return next(self._batch)
