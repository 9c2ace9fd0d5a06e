"""What a fetch brings of a changelog, on its way to the table store in one piece.

Faust takes about 250 us a record through its queues. A store takes a few, of which one fetch holds hundreds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from faust.types import TP


class ChangelogRecord(NamedTuple):
    """A record, as much of it as a store reads: Faust's event and its message in one."""

    tp: TP
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def partition(self) -> int:
        """The partition of the changelog."""
        return int(self.tp.partition)

    @property
    def message(self) -> Self:
        """The record itself, where Faust's event has its message."""
        return self


class Fetched(NamedTuple):
    """All that one fetch brought of a partition. ``offset`` is that of the last record."""

    records: Sequence[ChangelogRecord]
    offset: int


def fetched_of(tp: TP, found: Sequence[Any]) -> Fetched:
    """Return the records of one fetch (aiokafka's, at least one) as a store takes them."""
    records = [ChangelogRecord(tp, record.offset, record.key, record.value) for record in found]
    return Fetched(records, records[-1].offset)
