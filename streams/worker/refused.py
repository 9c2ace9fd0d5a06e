"""What becomes of records that the client refused to unpack (:mod:`streams.kafka.unpacking`)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from faust.types import TP

from streams.errors import Fatal
from streams.kafka.unpacking import Refused
from streams.worker.ending import die

REFUSED: Final = "liqmon-refused"

WIDE: Final = 100_000
"""More offsets than Faust can list one by one, as it does between two commits. No bundle stands for so many."""


def marked(records: Sequence[Any]) -> list[Any]:
    """Return records of which those refused carry why, in a header. Nobody reads the headers that others wrote."""
    return [replace(record, headers=_told(record)) if record.headers or _told(record) else record for record in records]


def _told(record: Any) -> tuple[tuple[str, bytes], ...]:
    return ((REFUSED, record.detail.encode()),) if isinstance(record, Refused) else ()


def refusal_in(headers: Mapping[str, bytes] | Sequence[tuple[str, bytes]] | None) -> str:
    """Return why a message was refused, which its headers say; empty where it was not."""
    return dict(headers or ()).get(REFUSED, b"").decode()


def end_if_refused(records: Sequence[Any]) -> None:
    """End the process where a record of a changelog was refused: without it the state would be another."""
    for record in records:
        if isinstance(record, Refused):
            die(
                Fatal(
                    f"offset {record.first} of {record.topic}, partition {record.partition}, was not written by a "
                    f"worker: {record.detail}; keep others from writing to that topic, and delete it up to there"
                )
            )


class WideSpans:
    """Acknowledged messages that stand for a great many offsets each, by partition."""

    def __init__(self) -> None:
        self._spans: dict[TP, dict[int, int]] = defaultdict(dict)

    def forget(self) -> None:
        """Partitions have moved: nothing of before counts."""
        self._spans.clear()

    def take(self, tp: TP, first: int, last: int) -> bool:
        """Keep a span that was acknowledged, and return true, where it is a wide one."""
        if last - first < WIDE:
            return False
        self._spans[tp][first] = last
        return True

    def beyond(self, tp: TP, offset: int | None, committed: int | None, acked: set[int]) -> int | None:
        """Return the offset to commit, given the one without these spans: None for nothing new, and for none yet.

        What was acknowledged behind a span is taken from ``acked``.
        """
        spans = self._spans.get(tp)
        while spans:
            reached = committed if offset is None else offset
            last = spans.pop(min(spans) if reached is None else reached, None)
            if last is None:
                break
            offset = last + 1
            while offset in acked:
                acked.remove(offset)
                offset += 1
        return offset
