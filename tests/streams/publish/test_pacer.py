"""How a fast producer waits for a slow worker."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.publish.pacer import LagPacer
from streams.settings import Settings, load_settings
from tests.lost_writes import writes_that_fail
from tests.waiting import until


def at(address: str) -> Settings:
    """Return the settings of a broker."""
    return load_settings(kafka_bootstrap_servers=address)


class Group:
    """A consumer group that commits what a test says, and a topic with messages for it."""

    def __init__(self, address: str, topic: str) -> None:
        self._address = address
        self.topic = topic
        self.name = f"group-of-{topic}"

    async def publish(self, count: int) -> None:
        """Send messages to partition 1."""
        async with AIOKafkaProducer(bootstrap_servers=self._address) as producer:
            for _ in range(count):
                await producer.send_and_wait(self.topic, b"x", partition=1)

    async def commit(self, offset: int) -> None:
        """Commit partition 1 up to an offset."""
        place = TopicPartition(self.topic, 1)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._address, group_id=self.name, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.commit({place: offset})
        finally:
            await consumer.stop()

    def pacer(self, max_lag_bytes: int) -> LagPacer:
        """Return a pacer that watches this group."""
        return LagPacer(at(self._address), self.name, topic=self.topic, max_lag_bytes=max_lag_bytes, poll_seconds=0.01)


async def test_it_holds_back_until_the_group_has_committed_enough(broker_address: str) -> None:
    """Ten messages of 100 bytes and a limit of 500: the producer goes on when six of them are processed."""
    group = Group(broker_address, "lag-holds")
    await group.publish(10)
    pacer = group.pacer(500)
    try:
        for offset in range(1, 11):
            pacer.published(1, offset, 100)
        waiting = asyncio.create_task(pacer.wait(1))
        await group.commit(5)
        await until(lambda: pacer.lag_bytes(1) == 500)
        assert not waiting.done()
        await group.commit(6)
        async with asyncio.timeout(10):
            await waiting
        assert pacer.lag_bytes(1) == 400
    finally:
        await pacer.close()


async def test_a_partition_waits_for_itself_only(broker_address: str) -> None:
    """One market's slow worker does not stop the others; below the limit nobody is asked."""
    pacer = LagPacer(at("127.0.0.1:1"), "nobody", max_lag_bytes=500)
    pacer.published(1, 1, 499)
    pacer.published(2, 1, 500)
    async with asyncio.timeout(1):
        await pacer.wait(0)
        await pacer.wait(1)
    waiting = asyncio.create_task(pacer.wait(2))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await pacer.close()


async def test_an_error_that_no_client_should_raise_is_waited_out(broker_address: str) -> None:
    """The producer goes on when the broker says again what is processed."""
    group = Group(broker_address, "lag-broken")
    await group.publish(1)
    await group.commit(1)
    pacer = group.pacer(100)
    pacer.published(1, 1, 100)
    with writes_that_fail(int(broker_address.rpartition(":")[2])) as failed:
        waiting = asyncio.create_task(pacer.wait(1))
        await until(lambda: len(failed) > 3)
        assert not waiting.done()
    async with asyncio.timeout(10):
        await waiting
    await pacer.close()
