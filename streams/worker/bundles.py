"""Several Kafka messages in one of Faust's: Faust takes about 100 us per message, whatever it holds.

The consumer bundles the messages of a partition that one fetch brought, and the monitor takes them apart again. A
bundle has the offset of its last message, and a header that says its first: once it is acknowledged, they all are
(:mod:`streams.worker.transport`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from streams.kafka.broker_clock import APPEND_TIME
from streams.kafka.unpacking import Refused

# A bundle is handled to its end before anything else of its partition: 64 frames of 20 trades take about 5 ms.
# So do as many rows as this, together.
MAX_MESSAGES: Final = 1024
# What is no row weighs as much as so many.
ROWS_PER_FRAME: Final = 16
ROW_START: Final = b"{"
# About 4 900 trades of 53 bytes, so large frames travel nearly alone.
MAX_BYTES: Final = 256 * 1024

FIRST: Final = "liqmon-first-offset"


class Item(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message of a bundle. ``timestamp_ms`` is the broker's time of it, or the publisher's.

    ``refused`` says why it is no message that anybody should read; ``value`` then holds its first bytes.
    """

    offset: int
    timestamp_ms: int
    value: bytes | None
    is_brokers_time: bool = False
    refused: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Item]).decode


def bundled(records: Sequence[Any]) -> Iterator[Any]:
    """Yield the records of one partition (aiokafka's) bundled, in order."""
    items: list[Item] = []
    last: Any = None
    first = size = weight = 0
    for record in records:
        value = record.value or b""
        length, heavy = len(value), 1 if value[:1] == ROW_START else ROWS_PER_FRAME
        if items and (weight + heavy > MAX_MESSAGES or size + length > MAX_BYTES):
            yield _bundle(last, items, first)
            items, size, weight = [], 0, 0
        if not items:
            first = first_of(record)
        refusal = record.detail if isinstance(record, Refused) else ""
        items.append(Item(record.offset, record.timestamp, record.value, record.timestamp_type == APPEND_TIME, refusal))
        size += length
        weight += heavy
        last = record
    if items:
        yield _bundle(last, items, first)


def first_of(record: Any) -> int:
    """Return the first offset that a record of the client's stands for: one that was refused may be a whole batch."""
    return record.first if isinstance(record, Refused) else int(record.offset)


def _bundle(last: Any, items: list[Item], first: int) -> Any:
    return replace(last, value=_encode(items), headers=((FIRST, str(first).encode()),))


def first_offset(bundle: Any) -> int:
    """Return the offset of a bundle's first message."""
    return int(dict(bundle.headers)[FIRST])


def unbundled(value: bytes) -> list[Item]:
    """Return the messages of a bundle."""
    return _decode(value)
