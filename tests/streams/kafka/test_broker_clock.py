"""What acknowledgements tell of the broker's clock."""

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.kafka.admin import ensure_topics
from streams.kafka.broker_clock import APPEND_TIME, BrokerClock, ClockProbe
from streams.kafka.outbound import Record
from streams.settings import load_settings
from tests.faults.proxy import Proxy
from tests.kafka import RealKafka

NOON_US = 1_780_000_000_000_000
SECOND = 1_000_000


class Clocks:
    """A machine's two clocks, and the broker's, all set by hand."""

    def __init__(self) -> None:
        self.wall_us = NOON_US
        self.steady_us = 5 * SECOND
        self.broker_us = NOON_US
        self.clock = BrokerClock(lambda: self.wall_us, lambda: self.steady_us)

    def pass_by(self, micros: int) -> None:
        """Let time pass for all of them."""
        self.wall_us += micros
        self.steady_us += micros
        self.broker_us += micros

    def ask(self, there: int = 1000, back: int = 1000) -> None:
        """Ask the broker, which takes so long there and back."""
        sent_us = self.steady_us
        self.pass_by(there)
        said_ms = self.broker_us // 1000
        self.pass_by(back)
        self.clock.acknowledged(sent_us, said_ms)


def test_nothing_is_known_before_the_first_answer() -> None:
    clock = Clocks().clock
    assert clock.now_us() is None
    assert clock.skew_seconds() is None


@pytest.mark.parametrize("skew_seconds", [-300, -0.5, 0, 2, 3600])
def test_a_skew_is_known_within_the_round_trip(skew_seconds: float) -> None:
    clocks = Clocks()
    clocks.wall_us += int(skew_seconds * SECOND)
    clocks.ask(there=40_000, back=2_000)
    assert clocks.clock.skew_seconds() == pytest.approx(skew_seconds, abs=0.05)
    assert clocks.clock.now_us() == pytest.approx(clocks.broker_us, abs=50_000)


def test_a_clock_that_is_set_is_noticed_without_an_answer() -> None:
    """The broker's time goes on by a clock that nobody sets."""
    clocks = Clocks()
    clocks.ask()
    clocks.pass_by(7 * SECOND)
    clocks.wall_us += 300 * SECOND
    assert clocks.clock.skew_seconds() == pytest.approx(300, abs=0.01)
    assert clocks.clock.now_us() == pytest.approx(clocks.broker_us, abs=5_000)


def test_the_quickest_answer_counts_and_a_broker_that_is_set_is_believed() -> None:
    clocks = Clocks()
    clocks.ask(there=1000, back=1000)
    clocks.ask(there=900_000, back=0)
    assert clocks.clock.now_us() == pytest.approx(clocks.broker_us, abs=3_000)
    clocks.broker_us += 60 * SECOND
    clocks.ask(there=900_000, back=0)
    assert clocks.clock.now_us() == pytest.approx(clocks.broker_us, abs=SECOND)


def test_an_answer_that_took_long_says_nothing() -> None:
    """It may be that of a batch that was sent twice, with the time of the first."""
    clocks = Clocks()
    clocks.ask(there=0, back=6 * SECOND)
    assert clocks.clock.now_us() is None


@pytest.mark.parametrize("answer", [(0, 1_780_000_000_000), (APPEND_TIME, 1234)])
async def test_a_broker_that_tells_no_time_is_asked_once(answer: tuple[int, int]) -> None:
    """One may keep publishers' times; the embedded broker says 1234 ms."""
    asked: list[Record] = []

    async def send(record: Record) -> Awaitable[Any]:
        asked.append(record)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        told.set_result(SimpleNamespace(timestamp_type=answer[0], timestamp=answer[1]))
        return told

    probe = ClockProbe(BrokerClock(), send)
    await asyncio.wait_for(probe.run(), 5)
    assert probe.is_answered.is_set()
    assert probe.clock.now_us() is None
    assert len(asked) == 1


async def test_a_real_broker_tells_its_time(kafka: RealKafka, network: Proxy) -> None:
    """By the topic that the project makes for it; this machine's clock is the broker's."""
    settings = load_settings(kafka_bootstrap_servers=kafka.address, topic_partitions=2)
    await ensure_topics(settings)
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as client:
        probe = ClockProbe(
            BrokerClock(), lambda record: client.send(record.topic, record.value, partition=record.partition)
        )
        assert await probe.measure()
        assert await probe.measure()
        skew = probe.clock.skew_seconds()
        assert skew is not None
        assert abs(skew) < 1
        answer = await client.send_and_wait("trades", b"x", partition=0, timestamp_ms=5)
        assert answer.timestamp_type == APPEND_TIME
        assert answer.timestamp > 1_700_000_000_000
