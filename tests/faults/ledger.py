"""What the broker itself knows: how far the group is, who is in it, and every record of a topic."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.group import LeaveGroupRequest

from streams.errors import BadRecord
from streams.model.frames import decode_frame
from streams.topics import APP_ID, TRADES
from tests.kafka.server import HOST

FETCH_MS = 300

Identity = tuple[str, str, int]
"""Venue, symbol and id of a trade."""


@dataclass(frozen=True)
class Entry:
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp_ms: int = 0


class Ledger:
    """Asks the broker at ``address``. Connections are made for each question, so it survives any fault between two."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the end offset of each partition."""
        async with self._consumer() as consumer:
            partitions = await _partitions(consumer, topic)
            ends = await consumer.end_offsets(partitions)
            return {place.partition: offset for place, offset in ends.items()}

    async def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that the group has committed in each partition, 0 for none."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        async with self._admin() as admin:
            found = await admin.list_consumer_group_offsets(APP_ID, partitions=wanted)
        return {place.partition: max(0, found[place].offset) for place in wanted}

    async def lag(self, topic: str) -> int:
        """Return how many records the group has not committed."""
        ends = await self.ends(topic)
        committed = await self.committed(topic, ends)
        return sum(end - committed[partition] for partition, end in ends.items())

    async def read(self, topic: str, since: dict[int, int] | None = None) -> list[Entry]:
        """Return what the topic holds, in the order of each partition; from the offsets ``since`` on, if given."""
        async with self._consumer() as consumer:
            partitions = await _partitions(consumer, topic)
            if not partitions:
                return []
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            for place in partitions:
                if since and place.partition in since:
                    consumer.seek(place, since[place.partition])
            entries: list[Entry] = []
            while any([await consumer.position(place) < ends[place] for place in partitions]):
                for place, records in (await consumer.getmany(timeout_ms=FETCH_MS)).items():
                    entries += [
                        Entry(place.partition, record.offset, record.key or b"", record.value or b"", record.timestamp)
                        for record in records
                        if record.offset < ends[place]
                    ]
            return entries

    async def members(self) -> list[tuple[str, bytes]]:
        """Return id and metadata of each member of the group; Faust's hold its address, and then everybody's."""
        async with self._admin() as admin:
            (answer,) = await admin.describe_consumer_groups([APP_ID])
        (group,) = answer.groups
        return [(member[0], member[3]) for member in group[5]]

    async def evict(self, *ports: int) -> None:
        """Take the workers at these ports out of the group, as the broker does when it has not heard of one for 10 s.

        One that lives learns of it with its next heartbeat, up to 3 s later.
        """
        wanted = [f'"url":"http://{HOST}:{port}"'.encode() for port in ports]
        try:
            ids = [member for member, metadata in await self.members() if any(url in metadata for url in wanted)]
        except IncompatibleBrokerVersion:
            # The embedded broker tells nobody who is in a group: it has to notice.
            return
        async with self._admin() as admin:
            coordinator = await admin.find_coordinator(APP_ID)
            for member in ids:
                await admin._send_request(LeaveGroupRequest(APP_ID, member), coordinator)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=5000)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


class TradesTopic:
    """The identities of the trades that the topic holds, read on from where the last reading stopped."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since: dict[int, int] = {}
        self._found: set[Identity] = set()

    def rewind(self) -> None:
        """Read from the beginning again: the broker was wiped. What was found stays found."""
        self._since = {}

    async def identities(self) -> set[Identity]:
        """Return what it holds by now."""
        for entry in await self._ledger.read(TRADES, self._since):
            self._since[entry.partition] = entry.offset + 1
            try:
                frame = decode_frame(entry.value)
            except BadRecord:
                continue
            self._found.update((frame.venue, frame.symbol, number) for number in frame.trade_ids())
        return self._found


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if numbers is None:
        await consumer._client.force_metadata_update()
        numbers = consumer.partitions_for_topic(topic) or set()
    return [TopicPartition(topic, number) for number in sorted(numbers)]
