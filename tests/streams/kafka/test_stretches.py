"""A stretch of a partition is read to its end, or it is an outage: what was not read must not pass for nothing."""

import pytest
from aiokafka import AIOKafkaProducer

from streams.errors import Outage
from streams.kafka import stretches
from streams.kafka.stretches import read_stretch
from streams.settings import load_settings

RECORDS = 50


@pytest.fixture
async def topic(broker_address: str, request: pytest.FixtureRequest) -> str:
    """Give a topic whose partition 0 holds 50 records of five keys."""
    name = f"stretches-{request.node.name.partition('[')[0]}"
    producer = AIOKafkaProducer(bootstrap_servers=broker_address)
    await producer.start()
    try:
        for number in range(RECORDS):
            await producer.send_and_wait(name, b"%d" % number, b"%d" % (number % 5), 0)
    finally:
        await producer.stop()
    return name


async def test_it_is_the_last_value_of_each_key(broker_address: str, topic: str) -> None:
    """Of the stretch, not of the topic."""
    settings = load_settings(kafka_bootstrap_servers=broker_address)
    assert await read_stretch(settings, topic, 0, 10, 18) == {
        b"0": b"15",
        b"1": b"16",
        b"2": b"17",
        b"3": b"13",
        b"4": b"14",
    }
    assert await read_stretch(settings, topic, 0, 49, 50) == {b"4": b"49"}


async def test_a_slow_broker_is_waited_for(broker_address: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not there within one wait says nothing of what the stretch holds."""
    monkeypatch.setattr(stretches, "WAIT_MS", 1)
    settings = load_settings(kafka_bootstrap_servers=broker_address)
    assert await read_stretch(settings, topic, 0, 45, 50) == {b"%d" % at: b"%d" % (45 + at) for at in range(5)}


async def test_what_does_not_come_is_an_outage(
    broker_address: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is looked at again, and nobody forgets it."""
    monkeypatch.setattr(stretches, "ANSWER_MS", 1000)
    settings = load_settings(kafka_bootstrap_servers=broker_address)
    with pytest.raises(Outage, match="the broker does not answer"):
        await read_stretch(settings, topic, 0, 45, RECORDS + 5)
