"""``liqmon topic``: what a topic holds, one JSON object a line."""

import base64
import sys
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from streams.errors import UNREADABLE, BadRecord, Fatal
from streams.kafka.refusal import refusal, unanswered
from streams.kafka.security import connection
from streams.kafka.unpacking import Refused
from streams.model.amounts import UNITS_PER_BASE
from streams.model.frames import KIND_MASK, KIND_SHIFT, SIDE_MASK, SNAPSHOT, decode_frame
from streams.model.trade import Kind, Side
from streams.settings import Settings
from streams.topics import TRADES

# Records that are there are printed at once. A quiet topic is asked twice a second whether its end is reached.
POLL_MS: Final = 500


def describe(topic: str, value: bytes) -> Any:
    """Return a record's value as plain data: a frame as rows, JSON as itself, anything else as base64."""
    if topic == TRADES and not value.startswith(b"{"):
        try:
            return _frame(value)
        except BadRecord as error:
            return {"unreadable": str(error), "base64": base64.b64encode(value).decode()}
    try:
        return msgspec.json.decode(value)
    except UNREADABLE as error:
        return {"unreadable": str(error), "base64": base64.b64encode(value).decode()}


def _described(topic: str, record: Any) -> Any:
    if isinstance(record, Refused):
        return {
            "unreadable": record.detail,
            "first_offset": record.first,
            "base64": base64.b64encode(record.value or b"").decode(),
        }
    return describe(topic, record.value or b"")


def _frame(value: bytes) -> dict[str, Any]:
    frame = decode_frame(value)
    return {
        "venue": frame.venue,
        "symbol": frame.symbol,
        "received_us": frame.received_us,
        **({"reset": True} if frame.is_reset else {}),
        "trades": [
            {
                "id": f"{trade_id:032x}" if frame.wide_ids else trade_id,
                "time_us": time_us,
                "price": price,
                "quantity": (whole * UNITS_PER_BASE + fraction) / UNITS_PER_BASE,
                "notional_micro_usd": notional,
                "side": _name(Side, flags & SIDE_MASK),
                "kind": word or _name(Kind, (flags & KIND_MASK) >> KIND_SHIFT),
                "snapshot": bool(flags & SNAPSHOT),
            }
            for trade_id, word, (time_us, price, notional, whole, fraction, flags) in zip(
                frame.trade_ids(), frame.words or [""] * len(frame), frame.figures(), strict=True
            )
        ],
    }


def _name(kind: type[Side] | type[Kind], value: int) -> str:
    try:
        return kind(value).name.lower()
    except ValueError:
        return str(value)


async def print_topic(settings: Settings, topic: str, *, limit: int | None, follow: bool) -> None:
    """Print a topic from its beginning to its end, or on and on.

    Raises :class:`Outage` where no broker answers, :class:`Fatal` where it has no such topic, and
    :class:`BrokenPipeError` when nobody reads any more.
    """
    consumer = AIOKafkaConsumer(topic, **connection(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        printed = 0
        while limit is None or printed < limit:
            if not follow and all([await consumer.position(tp) >= ends[tp] for tp in partitions]):
                return
            for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records[: None if limit is None else limit - printed]:
                    line = {
                        "partition": tp.partition,
                        "offset": record.offset,
                        "timestamp_ms": record.timestamp,
                        "key": (record.key or b"").decode(errors="replace"),
                        "value": _described(topic, record),
                    }
                    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
                    printed += 1
    except BrokenPipeError:
        raise
    except UnknownTopicOrPartitionError:
        raise Fatal(f"Kafka at {settings.kafka_bootstrap_servers} has no topic {topic} yet") from None
    except (KafkaError, OSError) as error:
        raise (await refusal(settings) or unanswered(error, settings)) from None
    finally:
        await consumer.stop()
