"""Connections stay under the documented limit, and pauses grow as promised."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.venues.reconnect import Backoff, ConnectionLimiter

DOCUMENTED_LIMIT = 150
DOCUMENTED_WINDOW_SECONDS = 600


@given(st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=400))
def test_no_ten_minutes_hold_more_connections_than_documented(lives: list[float]) -> None:
    """However short connections live, two feeds behind one address stay within 150 in any 10 minutes."""
    limiter, backoff = ConnectionLimiter(), Backoff(rng=random.Random(1))
    now, opened = 0.0, []
    for life in lives:
        now += limiter.wait_seconds(now)
        limiter.attempted(now)
        opened.append(now)
        now += life + backoff.failed(life)
    for start in opened:
        within = [time for time in opened if start <= time < start + DOCUMENTED_WINDOW_SECONDS]
        assert 2 * len(within) <= DOCUMENTED_LIMIT


def test_the_limiter_waits_until_the_oldest_attempt_is_out_of_the_window() -> None:
    """With two allowed in ten seconds, the third waits for the first to be ten seconds old."""
    limiter = ConnectionLimiter(limit=2, window_seconds=10)
    limiter.attempted(100.0)
    limiter.attempted(103.0)
    assert limiter.wait_seconds(104.0) == 6.0
    limiter.attempted(110.0)
    assert limiter.wait_seconds(110.0) == 3.0
    assert limiter.wait_seconds(113.0) == 0.0


def test_the_first_tries_are_immediate_and_the_later_never_faster_than_five_seconds() -> None:
    """A handful at once; then at least 5 s, at most a minute, growing on average."""
    backoff = Backoff(rng=random.Random(3))
    pauses = [backoff.failed(0.1) for _ in range(40)]
    assert pauses[:5] == [0.0] * 5
    assert all(5.0 <= pause <= 60.0 for pause in pauses[5:])
    assert max(pauses[6:8]) < sum(pauses[20:]) / 20 < 60


def test_pauses_are_jittered() -> None:
    """Two producers that lost the same venue do not come back in step."""
    one, other = Backoff(rng=random.Random(1)), Backoff(rng=random.Random(2))
    assert [one.failed(0) for _ in range(12)] != [other.failed(0) for _ in range(12)]


def test_a_connection_that_lived_starts_the_count_again() -> None:
    """A random drop after an hour is followed by an immediate try; a venue that accepts and drops is not."""
    backoff = Backoff()
    for _ in range(20):
        backoff.failed(1.0)
    assert backoff.failed(1.0) >= 5.0
    assert backoff.failed(3600.0) == 0.0
