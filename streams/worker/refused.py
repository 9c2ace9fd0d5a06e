"""What becomes of records that the client refused to unpack (:mod:`streams.kafka.unpacking`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from streams.errors import Fatal
from streams.kafka.unpacking import Refused
from streams.worker.ending import die

REFUSED: Final = "liqmon-refused"


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
