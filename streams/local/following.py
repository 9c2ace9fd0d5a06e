"""Follows a run over the broker: alerts as they are raised, and how far the worker is behind."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.errors import BadRecord
from streams.kafka.admin import KAFKA
from streams.kafka.security import connection
from streams.model.alert import Alert, AlertId, decode_alert, supersedes
from streams.settings import Settings
from streams.topics import ALERTS, APP_ID, DEAD_LETTERS, TRADES
from streams.unexpected import say_once

log = logging.getLogger(__name__)

# The embedded broker makes a topic on first use. Looking this often shows the first alert within a second.
METADATA_MS: Final = 1000
# An error of the terminal may come again with every alert.
RETRY_SECONDS: Final = 1.0


class _Shown(msgspec.Struct, frozen=True, gc=False):
    """What has to be known of an alert that was shown. A recording may raise a hundred thousand."""

    count: int
    measured: int | None
    offset: int
    severity: str
    retracted: bool


class AlertFollower:
    """Reads the topic ``alerts`` and hands on each alert, each rise of its severity, and each retraction.

    A worker that reads messages again sends alerts again: what is not later than what was shown is passed over.
    ``identities`` are the (rule, venue, symbol, pane) of every alert seen. The topic must exist; what it holds before
    the offsets of ``start`` belongs to an earlier run and is passed over.
    """

    def __init__(self, settings: Settings, show: Callable[[Alert], None], start: Mapping[TopicPartition, int]) -> None:
        self._consumer = AIOKafkaConsumer(
            ALERTS,
            **connection(settings),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            metadata_max_age_ms=METADATA_MS,
        )
        self._show = show
        self._start = start
        self._shown: dict[AlertId, _Shown] = {}

    @property
    def identities(self) -> list[AlertId]:
        return list(self._shown)

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        for partition, offset in self._start.items():
            self._consumer.seek(partition, offset)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._consumer.stop()

    async def follow(self) -> None:
        """Hand alerts on until cancelled; messages that are no alerts are passed over."""
        while True:
            try:
                async for message in self._consumer:
                    # The worker says of what is no alert that it is none.
                    with contextlib.suppress(BadRecord):
                        self._take(decode_alert(message.value or b""))
            except KafkaError:
                raise
            except Exception as error:  # noqa: BLE001 - it only shows alerts: whatever it is, the run goes on
                say_once(log, "alerts on the terminal", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def has_read_all(self) -> bool:
        """Whether nothing is left to read now."""
        partitions = self._consumer.assignment()
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        return all([await self._consumer.position(partition) >= end for partition, end in ends.items()])

    def _take(self, alert: Alert) -> None:
        shown = self._shown.get(alert.id)
        if shown is None or (supersedes(alert, shown) and _said(alert) != _said(shown)):
            self._shown[alert.id] = _Shown(alert.count, alert.measured, alert.offset, alert.severity, alert.retracted)
            self._show(alert)


def _said(alert: Alert | _Shown) -> tuple[str, bool]:
    return alert.severity, alert.retracted


class GroupProgress:
    """How far the worker's consumer group has come, read from the broker."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AIOKafkaAdminClient(**connection(settings), metadata_max_age_ms=METADATA_MS)
        self._consumer = AIOKafkaConsumer(
            **connection(settings), enable_auto_commit=False, metadata_max_age_ms=METADATA_MS
        )

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self) -> int:
        """Messages of ``trades`` and, once those are done, of ``alerts`` that are not committed yet.

        In this order: the last trades may still raise alerts.
        """
        return await self._lag_of(TRADES) or await self._lag_of(ALERTS)

    async def dead_letters(self) -> int:
        """Messages on the topic ``dead-letters`` since it exists."""
        return sum((await self.ends(DEAD_LETTERS)).values())

    async def _lag_of(self, topic: str) -> int:
        ends = {partition: end for partition, end in (await self.ends(topic)).items() if end}
        if not ends:
            return 0
        committed = await self._admin.list_consumer_group_offsets(APP_ID, partitions=list(ends))
        # -1 stands for no commit yet.
        return sum(end - max(committed[partition].offset, 0) for partition, end in ends.items())

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Return the offset after the last message of each partition; nothing for a topic that does not exist."""
        topics = {entry["topic"]: entry["partitions"] for entry in await self._admin.describe_topics()}
        partitions = [TopicPartition(topic, entry["partition"]) for entry in topics.get(topic, [])]
        return await self._consumer.end_offsets(partitions) if partitions else {}


async def lag_of(progress: GroupProgress) -> int:
    """Return the worker's lag in messages; while the broker does not answer, 1, so that nobody takes it for done."""
    lag = await answer(progress.lag)
    return 1 if lag is None else lag


async def answer(figure: Callable[[], Awaitable[int]]) -> int | None:
    """Return a figure that the broker knows, None while it does not answer."""
    try:
        return await figure()
    except Exception as error:  # noqa: BLE001 - whatever it is, the broker is asked again
        KAFKA.notice(error)
        return None
