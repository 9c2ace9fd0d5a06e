"""Waiting for a sink: until it answers, with one log line at each end, and not after a stop."""

import asyncio
import logging

import pytest

from agents.retry import retry_outage, stopped_within
from streams import metrics
from streams.errors import BadRecord, Outage


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise Outage(f"failure {self.calls}")
        return "answer"


async def test_it_waits_until_the_sink_answers(caplog: pytest.LogCaptureFixture) -> None:
    """Every retry is counted, and the log says when it began and when it ended, once each."""
    caplog.set_level(logging.INFO)
    before = metrics.REGISTRY.get_sample_value("liqmon_sink_retries_total", {"sink": "test"}) or 0.0
    flaky = Flaky(5)
    assert await retry_outage(flaky, sink="test", first_delay_seconds=0.001) == "answer"
    assert metrics.REGISTRY.get_sample_value("liqmon_sink_retries_total", {"sink": "test"}) == before + 5
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_nothing_is_logged_without_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """The usual case is silent."""
    caplog.set_level(logging.INFO)
    assert await retry_outage(Flaky(0), sink="test") == "answer"
    assert not caplog.records


async def test_delays_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays double up to the greatest; jitter only shortens them, to half at most."""
    delays: list[float] = []

    async def note(_: asyncio.Event | None, seconds: float) -> bool:
        delays.append(seconds)
        return False

    monkeypatch.setattr("agents.retry.stopped_within", note)
    await retry_outage(Flaky(12), sink="test", first_delay_seconds=0.1, max_delay_seconds=5.0)
    wanted = [min(0.1 * 2**attempt, 5.0) for attempt in range(12)]
    assert all(full / 2 <= delay <= full for delay, full in zip(delays, wanted, strict=True))


async def test_a_stop_ends_the_wait() -> None:
    """A process that is told to stop does not wait for a sink."""
    stop = asyncio.Event()
    task = asyncio.create_task(retry_outage(Flaky(10**9), sink="test", stop=stop, first_delay_seconds=30.0))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(Outage):
        await asyncio.wait_for(task, 5)


async def test_other_errors_pass_at_once() -> None:
    """A bad record is not worth a second try."""

    async def bad() -> None:
        raise BadRecord("wrong_type", "no")

    with pytest.raises(BadRecord):
        await retry_outage(bad, sink="test")


async def test_waiting_tells_whether_it_was_stopped() -> None:
    """True where the event is set, at once or before the time is over."""
    stop = asyncio.Event()
    assert not await stopped_within(stop, 0.01)
    stop.set()
    assert await stopped_within(stop, 30)
