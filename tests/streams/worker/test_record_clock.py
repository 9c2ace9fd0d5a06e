"""By which time a worker judges, and when it waits instead."""

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from streams.kafka.broker_clock import BrokerClock, ClockProbe
from streams.kafka.outbound import Record
from streams.worker import record_clock
from streams.worker.record_clock import RecordClock
from tests.waiting import until

NOON = 1_780_000_000
SECOND = 1_000_000


class Machine:
    """A worker's clock that is set by hand, ``skew`` seconds ahead of the broker's, which was measured at noon."""

    def __init__(self, skew: float = 0.0, *, measured: bool = True) -> None:
        self.skew = skew
        self.broker = BrokerClock(self.wall, lambda: 0)
        if measured:
            self.broker.acknowledged(0, NOON * 1000)
        self.probe = ClockProbe(self.broker, self.unreachable)
        self.probe.is_answered.set()
        self.clock = RecordClock(self.probe, limit_seconds=15)

    def wall(self) -> int:
        """Return the machine's own time."""
        return int((NOON + self.skew) * SECOND)

    async def unreachable(self, record: Record) -> Awaitable[Any]:
        """Reach no broker."""
        raise OSError(str(record))

    async def time_of(self, seconds: float, *, is_brokers: bool = False) -> float | None:
        """Ask for a record's time, as Kafka tells it."""
        return await asyncio.wait_for(self.clock.time_of(int(seconds * 1000), is_brokers=is_brokers), 5)


@pytest.mark.parametrize("skew", [-300.0, 0.0, 300.0])
async def test_what_the_broker_stamped_is_judged_by_that_whatever_the_workers_clock(skew: float) -> None:
    """It is the same for every worker and every replay; a worker whose clock is off is unready all the same."""
    machine = Machine(skew)
    assert await machine.time_of(NOON + 3600, is_brokers=True) == NOON + 3600
    assert machine.clock.own.is_right is (skew == 0)
    assert not machine.clock.is_waiting


@pytest.mark.parametrize(("skew", "where"), [(-300.0, "behind"), (300.0, "ahead of")])
async def test_where_the_broker_stamps_a_wrong_clock_is_said_once_while_counting_goes_on(
    skew: float, where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any trade too, and again only after it was right in between."""
    monkeypatch.setattr(record_clock, "LOOK_SECONDS", 0.01)
    machine = Machine(skew)
    machine.clock.know(is_stamped=True)
    said = f"300.0 s {where} the broker's, more than MAX_CLOCK_SKEW_SECONDS"

    def is_said(text: str, times: int) -> bool:
        return caplog.text.count(text) == times

    with caplog.at_level(logging.INFO, logger="streams.worker.own_clock"):
        machine.clock.measure()
        for time in (1, 2):
            machine.skew = skew
            await until(partial(is_said, said, time))
            assert await machine.time_of(NOON + time, is_brokers=True) == NOON + time
            assert machine.clock.own.wrong() == f"this machine's clock is 300.0 s {where} the broker's"
            machine.skew = 0.5
            await until(partial(is_said, "right again", time))
            assert machine.clock.own.wrong() == ""
        await machine.clock.stop()
    assert caplog.text.count("goes on by the broker's time") == 2
    assert "nothing is judged" not in caplog.text


@pytest.mark.parametrize("skew", [-300.0, 300.0])
async def test_what_a_worker_shows_and_stores_has_the_brokers_time(skew: float) -> None:
    """Its own where the broker tells none."""
    assert Machine(skew).clock.own.now() == pytest.approx(NOON, abs=0.01)
    assert Machine(skew, measured=False).clock.own.now() == NOON + skew


@pytest.mark.parametrize(("stamp", "expected"), [(NOON - 500, NOON - 500), (NOON + 3600, NOON), (4e9, NOON)])
async def test_of_a_publishers_time_and_the_brokers_the_smaller_counts(stamp: float, expected: float) -> None:
    """A record dated with its event time disables nothing."""
    assert await Machine(3.0).time_of(stamp) == pytest.approx(expected, abs=0.01)


async def test_where_the_broker_tells_no_time_the_workers_own_counts() -> None:
    machine = Machine(-2.0, measured=False)
    assert await machine.time_of(NOON + 3600) == NOON - 2
    assert machine.clock.own.is_right


@pytest.mark.parametrize("skew", [-300.0, 300.0])
async def test_a_worker_whose_clock_is_wrong_waits_unready_until_it_is_right(
    skew: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says once by how much, and what to do."""
    monkeypatch.setattr(record_clock, "LOOK_SECONDS", 0.01)
    machine = Machine(skew)
    with caplog.at_level(logging.INFO, logger="streams.worker.own_clock"):
        asked = asyncio.create_task(machine.time_of(NOON))
        await until(lambda: "set it right" in caplog.text)
        assert not machine.clock.own.is_right
        assert machine.clock.is_waiting
        done, _ = await asyncio.wait({asked}, timeout=0.1)
        assert not done
        machine.skew = 0.5
        assert await asked == pytest.approx(NOON, abs=0.01)
    assert machine.clock.own.is_right
    assert not machine.clock.is_waiting
    assert caplog.text.count("300.0 s") == 1
    assert "right again" in caplog.text


async def test_what_waits_is_let_go_when_partitions_move_and_nothing_behind_it_is_counted() -> None:
    """Also where the clock is right meanwhile: what is behind must not be counted first."""
    machine = Machine(300)
    asked = asyncio.create_task(machine.time_of(NOON))
    await asyncio.sleep(0)
    with machine.clock.letting_go():
        assert await asked is None
        machine.skew = 0
        assert await machine.time_of(NOON) is None
    assert await machine.time_of(NOON) is not None


@pytest.mark.parametrize("is_brokers", [True, False])
async def test_records_that_follow_each_other_are_judged_as_each_of_them_alone(is_brokers: bool) -> None:
    machine = Machine(3.0)
    stamps = [NOON - 500, NOON - 1, NOON + 3600, 0, NOON]
    together = await machine.clock.times_of([1000 * stamp for stamp in stamps], are_brokers=is_brokers)
    assert together is not None
    alone = [await machine.time_of(stamp, is_brokers=is_brokers) for stamp in stamps]
    assert together.tolist() == pytest.approx(alone, abs=0.01)


async def test_records_that_wait_together_are_let_go_together() -> None:
    machine = Machine(300)
    asked = asyncio.create_task(machine.clock.times_of([1000 * NOON, 1000 * NOON + 1], are_brokers=False))
    await asyncio.sleep(0)
    with machine.clock.letting_go():
        assert await asked is None
    machine.skew = 0
    assert await machine.clock.times_of([1000 * NOON], are_brokers=False) is not None
