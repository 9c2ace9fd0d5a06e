"""Wrong tokens are counted by address."""

import pytest

from tables.web import attempts as module
from tables.web.attempts import AT_ONCE, SECONDS_EACH, Attempts, network_of


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_after_some_wrong_tokens_an_address_waits() -> None:
    """Ten are free; then one may be tried every six seconds, and others are not held up."""
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(AT_ONCE):
        assert attempts.seconds_to_wait("192.0.2.1") == 0
        attempts.wrong("192.0.2.1")
    assert 0 < attempts.seconds_to_wait("192.0.2.1") <= SECONDS_EACH
    assert attempts.seconds_to_wait("192.0.2.2") == 0
    clock.now += SECONDS_EACH
    assert attempts.seconds_to_wait("192.0.2.1") == 0
    attempts.wrong("192.0.2.1")
    assert attempts.seconds_to_wait("192.0.2.1") > 0
    clock.now += SECONDS_EACH * AT_ONCE
    for _ in range(AT_ONCE):
        assert attempts.seconds_to_wait("192.0.2.1") == 0
        attempts.wrong("192.0.2.1")


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    """Its owner has all of its addresses."""
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of(None) == network_of("nonsense") == ""


def test_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that tried longest ago are forgotten."""
    monkeypatch.setattr(module, "MOST_ADDRESSES", 3)
    attempts = Attempts(Clock())
    for _ in range(AT_ONCE):
        attempts.wrong("192.0.2.1")
    for number in range(2, 5):
        attempts.wrong(f"192.0.2.{number}")
    assert attempts.seconds_to_wait("192.0.2.1") == 0
    assert len(attempts._forgiven_at) == 3
