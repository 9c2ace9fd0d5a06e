"""Delays between attempts: they grow as written, keep the last, and spread processes apart."""

import pytest

from streams.backoff import Delays, doubling, scaled


def test_the_steps_come_in_turn_and_the_last_is_kept() -> None:
    """A wait never grows beyond the last step, however long the outage."""
    delays = Delays((0.1, 0.5, 2.0))
    assert [delays.next_seconds() for _ in range(1000)] == [0.1, 0.5] + [2.0] * 998
    assert delays.taken == 1000


def test_a_success_starts_them_again() -> None:
    """The next outage is met with the first delay."""
    delays = Delays((0.1, 0.5))
    delays.next_seconds()
    delays.reset()
    assert not delays.taken
    assert delays.next_seconds() == 0.1


@pytest.mark.parametrize(
    ("first", "most", "steps"),
    [
        (0.5, 4.0, (0.5, 1.0, 2.0, 4.0)),
        (0.2, 1.0, (0.2, 0.4, 0.8, 1.0)),
        (5.0, 5.0, (5.0,)),
        (9.0, 5.0, (5.0,)),
    ],
)
def test_doubling_ends_at_the_greatest(first: float, most: float, steps: tuple[float, ...]) -> None:
    """The greatest is kept to also where doubling does not meet it."""
    assert doubling(first, most) == steps


def test_jitter_stays_within_its_factors_and_differs() -> None:
    """Two processes that lost one server do not come back in step."""
    one, other = (Delays((4.0,), jitter=scaled(0.5, 1.0)) for _ in range(2))
    delays = [one.next_seconds() for _ in range(100)]
    assert all(2.0 <= seconds <= 4.0 for seconds in delays)
    assert delays != [other.next_seconds() for _ in range(100)]
