"""Which clock a producer goes by, and what it says of its own."""

import logging
from typing import Any

import pytest

from streams.kafka.broker_clock import BrokerClock
from streams.metrics import REGISTRY
from streams.model.connection import Connection
from streams.publish.clocks import Clocks
from streams.settings import load_settings
from tests.streams.publish.feeds import trade

NOON_US = 1_780_000_000_000_000
SECOND = 1_000_000
LATENCY_US = 40_000


class Machine:
    """A producer's machine, with a clock ``ahead`` seconds ahead of the true time; everything is set by hand."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.true_us = NOON_US
        self.ahead = ahead
        self.broker = BrokerClock(self.wall, self.steady)
        self.clocks = Clocks(load_settings(), self.broker, self.wall, self.steady)

    def wall(self) -> int:
        """Return the clock that may be wrong."""
        return self.true_us + int(self.ahead * SECOND)

    def steady(self) -> int:
        """Return the clock that nobody sets."""
        return self.true_us - NOON_US

    def hear_broker(self, ahead: float = 0.0) -> None:
        """Let the broker tell its time."""
        self.broker.acknowledged(self.steady(), (self.true_us + int(ahead * SECOND)) // 1000)

    def hear(self, *stamps: float, venue: str = "kraken_spot", **changes: Any) -> None:
        """Hear a trade a second, each stamped so many seconds ahead of the true time."""
        for number, ahead in enumerate(stamps):
            self.true_us += SECOND
            stamp_us = self.true_us + int(ahead * SECOND) - LATENCY_US
            self.clocks.heard([trade(number, venue=venue, time_us=stamp_us, **changes)], self.wall())

    def ahead_of_truth(self) -> float:
        """Return by how many seconds the clock that counts is ahead of the true time."""
        return (self.clocks.now_us() - self.true_us) / SECOND


@pytest.mark.parametrize("ahead", [-300.0, -120.0, 0.0, 300.0])
def test_the_brokers_clock_counts_whatever_the_machines(ahead: float) -> None:
    machine = Machine(ahead)
    machine.hear_broker()
    machine.hear(*[0.0] * 10)
    assert machine.ahead_of_truth() == pytest.approx(0, abs=0.01)
    assert machine.clocks.latest_us() == pytest.approx(machine.true_us + 60 * SECOND, abs=5000)
    assert machine.wall() - machine.clocks.read().ahead_us == pytest.approx(machine.true_us, abs=5000)
    assert bool(machine.clocks.wrong()) == (ahead != 0)


def test_what_is_known_of_a_socket_has_the_times_of_the_clock_that_counts() -> None:
    """Pages reckon from them how long ago something was."""
    machine = Machine(300.0)
    machine.hear_broker()
    open_since, true_seconds = machine.wall() / SECOND - 5, machine.true_us / SECOND
    told = machine.clocks.timed(Connection("kraken_spot", "ws://x", True, open_since, None, 0, 1, 0))
    assert told.since == pytest.approx(true_seconds - 5, abs=0.01)
    assert told.last_message is None


def test_a_clock_that_jumps_is_noticed_at_once() -> None:
    machine = Machine()
    machine.hear_broker()
    machine.hear(*[0.0] * 10)
    assert not machine.clocks.wrong()
    machine.ahead = 300
    assert machine.ahead_of_truth() == pytest.approx(0, abs=0.01)
    assert "300.0 s ahead of the broker's and 300.0 s ahead of the venue's" in machine.clocks.wrong()


@pytest.mark.parametrize("ahead", [-300.0, 300.0])
def test_without_a_brokers_time_the_venues_stamps_say_what_is_wrong(ahead: float) -> None:
    machine = Machine(ahead)
    machine.hear(*[0.0] * 10)
    assert machine.ahead_of_truth() == pytest.approx(-LATENCY_US / SECOND, abs=0.01)
    assert "the venue's" in machine.clocks.wrong()


def test_a_clock_that_agrees_with_the_venue_is_taken_as_it_is() -> None:
    """Stamps are late by what their way takes."""
    machine = Machine(1.0)
    machine.hear(*[0.0] * 10)
    assert machine.ahead_of_truth() == 1.0


def test_a_few_impossible_stamps_say_nothing_of_the_clock() -> None:
    machine = Machine()
    machine.hear(0, 0, 3000, 0, -500, 0, 3000, 0, 0)
    assert not machine.clocks.wrong()
    assert machine.ahead_of_truth() == 0


def test_old_trades_of_another_day_snapshots_and_too_few_trades_say_nothing() -> None:
    machine = Machine()
    machine.hear(*[-90_000.0] * 10, venue="played")
    machine.hear(*[-500.0] * 10, venue="history", is_snapshot=True)
    machine.hear(*[-500.0] * 4, venue="few")
    assert machine.clocks.venue_skew_us() is None


def test_one_venue_whose_stamps_are_late_is_no_fault_of_the_clock() -> None:
    machine = Machine()
    machine.hear(*[-200.0] * 10, venue="late")
    assert "the venue's" in machine.clocks.wrong()
    machine.hear(*[0.0] * 10, venue="right")
    assert not machine.clocks.wrong()


def test_stamps_are_forgotten_after_a_minute() -> None:
    machine = Machine()
    machine.hear(*[-200.0] * 10)
    assert machine.clocks.wrong()
    machine.true_us += 61 * SECOND
    assert not machine.clocks.wrong()


def test_a_broker_whose_clock_is_behind_is_waited_for_and_refuses_nothing() -> None:
    """Its workers would refuse every trade. This machine and the venue agree, so the broker is wrong."""
    machine = Machine()
    machine.hear_broker(-300)
    machine.hear(*[0.0] * 10)
    assert machine.clocks.broker_is_wrong
    assert machine.ahead_of_truth() == 0
    assert "ahead of the broker's" in machine.clocks.wrong()
    machine.hear_broker()
    assert not machine.clocks.broker_is_wrong


def test_a_slow_machine_is_not_taken_for_a_wrong_broker() -> None:
    machine = Machine(300)
    machine.hear_broker()
    machine.hear(*[0.0] * 10)
    assert not machine.clocks.broker_is_wrong


def test_a_mark_goes_by_the_records_time() -> None:
    """That of the broker, or the smaller of the publisher's and the one that counts."""
    machine = Machine()
    assert machine.clocks.latest_us(NOON_US - 5 * SECOND) == NOON_US + 55 * SECOND
    assert machine.clocks.latest_us(NOON_US + 500 * SECOND) == NOON_US + 60 * SECOND


def test_the_skew_is_exported_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(-120)
    machine.hear_broker()
    machine.hear(*[0.0] * 10)
    with caplog.at_level(logging.INFO, logger="streams.publish.clocks"):
        details = machine.clocks.details()
        machine.clocks.details()
        machine.ahead = 0
        machine.clocks.details()
    assert details["clock_skew_seconds"]["broker"] == pytest.approx(-120, abs=0.01)
    assert caplog.text.count("120.0 s behind the broker's") == 1
    assert "agree again" in caplog.text
    assert REGISTRY.get_sample_value("liqmon_clock_skew_seconds", {"against": "broker"}) == pytest.approx(0, abs=0.01)
    assert REGISTRY.get_sample_value("liqmon_clock_skew_seconds", {"against": "venue"}) == pytest.approx(0, abs=0.1)
