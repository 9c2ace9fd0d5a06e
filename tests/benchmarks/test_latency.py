"""How the benchmark of latency reads percentiles off a histogram."""

import pytest

from tests.benchmarks.latency import difference, percentile

INFINITY = float("inf")


def test_values_of_a_bucket_lie_evenly_in_it() -> None:
    """As Prometheus takes them; what is beyond the last bound is said to be at it."""
    buckets = {0.01: 10.0, 0.02: 50.0, 0.05: 90.0, INFINITY: 100.0}
    assert percentile(buckets, 0.3) == pytest.approx(0.015)
    assert percentile(buckets, 0.9) == pytest.approx(0.05)
    assert percentile(buckets, 0.99) == pytest.approx(0.05)


def test_only_what_was_added_counts() -> None:
    """Of two readings of one histogram; of nothing there is no percentile."""
    added = difference({0.01: 7.0, INFINITY: 9.0}, {0.01: 7.0, INFINITY: 7.0})
    assert added == {0.01: 0.0, INFINITY: 2.0}
    assert percentile(difference(added, added), 0.5) == 0.0
