"""What the log says of a Redis: enough to act on, and never a flood."""

import logging

import pytest
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from streams.redis_link import REDIS
from streams.redis_news import RedisNews, Slow


class Clock:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def news(clock: Clock, caplog: pytest.LogCaptureFixture) -> RedisNews:
    """Give the news of a Redis that a call may wait 20 ms for."""
    caplog.set_level(logging.INFO)
    return RedisNews(REDIS, "r:6379", without="marks", deadline_seconds=0.02, clock=clock)


def test_an_outage_is_said_at_both_ends(news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """However many probes fail meanwhile."""
    for _ in range(100):
        news.failed(NoConnection("refused"))
        clock.now += 4
    news.answered()
    news.used()
    assert caplog.messages == [
        "Redis at r:6379 does not answer (refused): going on without marks until that is over",
        "Redis at r:6379 answers again after 400.0 s",
    ]


def test_a_slow_redis_is_said_once_a_minute_with_a_count(
    news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand slow answers in 35 minutes are 35 lines, and none says that it does not answer."""
    for _ in range(1016):
        news.failed(Slow())
        clock.now += 0.5
        news.answered()
        clock.now += 1.5
        news.used()
    assert 30 <= len(caplog.messages) <= 36
    assert caplog.messages[:2] == [
        "Redis at r:6379 was slower than 20 ms, once: 0.5 s without marks",
        "Redis at r:6379 was slower than 20 ms, 30 times in 60 s: 15.0 s without marks",
    ]
    assert not any("answer" in line for line in caplog.messages)


def test_the_last_slow_answers_are_said_too(news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A minute after the last line, whether or not there are more."""
    for _ in range(3):
        news.failed(Slow())
        clock.now += 0.5
        news.answered()
    clock.now += 70
    news.used()
    news.used()
    assert caplog.messages == [
        "Redis at r:6379 was slower than 20 ms, once: 0.5 s without marks",
        "Redis at r:6379 was slower than 20 ms, 2 times in 71 s: 1.0 s without marks",
    ]


def test_a_redis_that_stays_slow_is_said_while_it_is(
    news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The probe was too slow as well: that may last."""
    news.failed(Slow())
    clock.now += 0.5
    news.failed(Slow())
    clock.now += 100
    news.answered()
    assert caplog.messages == [
        "Redis at r:6379 is slower than 20 ms: going on without marks until that is over",
        "Redis at r:6379 answers within 20 ms again after 100.5 s",
    ]


def test_a_silent_redis_is_not_called_slow(news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The first call only knows that no answer came in time; the probe knows more."""
    news.failed(Slow())
    clock.now += 2.5
    news.failed(NoConnection("timed out"))
    assert caplog.messages == ["Redis at r:6379 does not answer (timed out): going on without marks until that is over"]


def test_an_outage_that_keeps_coming_back_is_said_once_a_minute(
    news: RedisNews, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis at the edge of its memory takes some writes: 78 lines in half a minute told nobody more."""
    for _ in range(150):
        news.failed(OutOfMemoryError("OOM command not allowed"))
        clock.now += 0.5
        news.answered()
        clock.now += 0.3
        news.used()
    assert len(caplog.messages) <= 2 + 120 / 60
    assert caplog.messages[2] == (
        "Redis at r:6379 took no writes (OOM command not allowed), 75 times in 60 s: 37.5 s without marks"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutOfMemoryError("OOM full"), "takes no writes (OOM full)"),
        (ReadOnlyError("a replica"), "takes no writes (a replica)"),
        (ResponseError("MISCONF the disk"), "takes no writes (MISCONF the disk)"),
        (ResponseError("NOREPLICAS too few"), "takes no writes (NOREPLICAS too few)"),
        (NoPermissionError("this user may not"), "refuses what it is told (this user may not)"),
        (NoConnection("reset"), "does not answer (reset)"),
        (OSError(), "does not answer (OSError)"),
    ],
)
def test_what_is_wrong_is_named(news: RedisNews, caplog: pytest.LogCaptureFixture, error: Exception, said: str) -> None:
    """Each calls for something else to be done."""
    news.failed(error)
    assert caplog.messages == [f"Redis at r:6379 {said}: going on without marks until that is over"]
