"""The real Kafka that the fault tests rely on does what they ask of it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from streams.errors import Fatal
from tests.faults.proxy import Proxy
from tests.kafka import NotCovered, RealKafka, jars, real_or_embedded


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """Give the node of these tests; each uses a topic of its own."""
    reason = RealKafka.available()
    if reason is not None:
        pytest.skip(f"not covered: a real Kafka ({reason})")
    with RealKafka(tmp_path_factory.mktemp("kafka")) as node:
        yield node


async def create_topic(address: str, topic: str) -> None:
    """Create a topic with 4 partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 4, 1)])
    finally:
        await admin.close()


async def topics(address: str) -> list[str]:
    """List the topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        return [name for name in await admin.list_topics() if not name.startswith("__")]
    finally:
        await admin.close()


async def produce(address: str, topic: str, values: list[bytes]) -> None:
    """Send the values to partition 0, acknowledged by the broker."""
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True) as producer:
        for future in [await producer.send(topic, value, partition=0) for value in values]:
            await future


async def consume(address: str, topic: str, count: int) -> list[bytes]:
    """Read the first values of partition 0 as a member of a group."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=address, group_id=topic, auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        async with asyncio.timeout(30):
            return [(await anext(consumer)).value for _ in range(count)]


async def test_what_was_acknowledged_survives_a_kill_and_not_a_wipe(kafka: RealKafka) -> None:
    """Produced, killed, started: all there. Wiped: a new cluster without topics."""
    await create_topic(kafka.address, "kept")
    sent = [b"%d" % number for number in range(1000)]
    await produce(kafka.address, "kept", sent)
    kafka.kill()
    assert not kafka.running
    kafka.start()
    assert await consume(kafka.address, "kept", 1000) == sent

    kafka.stop()
    kafka.wipe()
    kafka.start()
    assert await topics(kafka.address) == []


async def test_topics_do_not_create_themselves(kafka: RealKafka) -> None:
    """A typing error in a topic's name must show."""
    with pytest.raises((KafkaError, TimeoutError)):
        async with asyncio.timeout(1):
            await produce(kafka.address, "mistyped", [b"lost"])
    assert "mistyped" not in await topics(kafka.address)


async def test_a_frozen_node_answers_nothing_until_resumed(kafka: RealKafka) -> None:
    """Connections stay open meanwhile."""
    await create_topic(kafka.address, "frozen")
    kafka.freeze()
    assert kafka.running
    waiting = asyncio.create_task(produce(kafka.address, "frozen", [b"later"]))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    kafka.resume()
    async with asyncio.timeout(30):
        await waiting
    assert await consume(kafka.address, "frozen", 1) == [b"later"]


async def test_clients_stay_behind_a_proxy(kafka: RealKafka) -> None:
    """The node sends them on to the proxy's port, and its direct address leads past it."""
    async with Proxy(kafka.port) as proxy:
        kafka.stop()
        kafka.advertised_port = proxy.port
        kafka.start()
        try:
            assert kafka.address == proxy.address
            await create_topic(kafka.address, "proxied")
            async with AIOKafkaProducer(bootstrap_servers=kafka.address, acks="all", retry_backoff_ms=20) as producer:
                await producer.send_and_wait("proxied", b"first", partition=0)
                assert proxy.reset() >= 1
                await producer.send_and_wait("proxied", b"second", partition=0)
            await proxy.refuse()
            assert await consume(kafka.direct_address, "proxied", 2) == [b"first", b"second"]
        finally:
            kafka.advertised_port = kafka.port


def test_a_node_that_cannot_start_says_so_and_leaves_no_process(tmp_path: Path, kafka: RealKafka) -> None:
    """Two nodes on one port: the second one ends."""
    second = RealKafka(tmp_path / "second", port=kafka.port)
    with pytest.raises(Fatal, match="Kafka ended with code 1"):
        second.start()
    assert not second.running


def test_without_java_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that a test can say what it did not cover."""
    jars.java.cache_clear()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert RealKafka.available() == "Java is not installed"
    jars.java.cache_clear()


def test_without_maven_and_cache_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The jars are looked for in the user's cache, never in the repository."""
    if RealKafka.available() == "Java is not installed":
        pytest.skip("not covered: Java is not installed")
    jars.class_path.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name == "mvn" else os.fspath(tmp_path))
    assert RealKafka.available() == "Maven is not installed and Kafka's jars are not in the cache"
    assert list(tmp_path.rglob("*.jar")) == []
    jars.class_path.cache_clear()


def test_where_kafka_cannot_run_the_embedded_broker_serves_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line in the summary of the tests."""
    monkeypatch.setattr(RealKafka, "available", staticmethod(lambda: "Java is not installed"))
    with ExitStack() as exits:
        with pytest.warns(NotCovered, match=r"^not covered: a real Kafka \(Java is not installed\)"):
            broker = exits.enter_context(real_or_embedded(tmp_path))
        assert not isinstance(broker, RealKafka)
        assert broker.address
