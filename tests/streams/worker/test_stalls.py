"""Partitions that stand still are said once; those that were handed over lately, or were quiet, are not."""

from streams.worker.stalls import Stalls

PLACE = "trades", 3


def test_a_partition_that_stands_is_said_once() -> None:
    stalls = Stalls(300)
    assert stalls.stalled_seconds(PLACE, at=5, end=9, now=0) is None
    assert stalls.stalled_seconds(PLACE, at=5, end=9, now=299) is None
    assert stalls.stalled_seconds(PLACE, at=5, end=12, now=301) == 301
    assert stalls.stalled_seconds(PLACE, at=5, end=12, now=900) is None


def test_a_partition_that_stands_again_is_said_again() -> None:
    stalls = Stalls(300)
    assert [stalls.stalled_seconds(PLACE, at=5, end=9, now=now) for now in (0, 300)] == [None, 300]
    assert [stalls.stalled_seconds(PLACE, at=6, end=9, now=now) for now in (400, 700)] == [None, 300]


def test_work_that_goes_on_is_no_stall() -> None:
    stalls = Stalls(300)
    assert not any(stalls.stalled_seconds(PLACE, at=at, end=10_000, now=at * 100.0) for at in range(100))


def test_the_first_message_after_a_quiet_hour_is_no_stall() -> None:
    stalls = Stalls(300)
    assert stalls.stalled_seconds(PLACE, at=5, end=5, now=0) is None
    assert stalls.stalled_seconds(PLACE, at=5, end=6, now=3600) is None


def test_time_counts_from_the_assignment() -> None:
    """A worker may have had the partition long ago: what it stood at then says nothing."""
    stalls = Stalls(300)
    stalls.stalled_seconds(PLACE, at=5, end=9, now=0)
    stalls.forget()
    assert stalls.stalled_seconds(PLACE, at=5, end=9, now=3600) is None
