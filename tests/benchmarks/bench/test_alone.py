"""What the modules of single parts print is understood, and one that fails is said in a line."""

import pytest

from streams.errors import Fatal
from tests.benchmarks.bench.alone import latency_of, recording_of
from tests.benchmarks.bench.measured import Run

LATENCY = """\
611 alerts at 1000 trades/s over 10 markets in 30 s, a page open, Kafka; CPU s/s: worker 0.20, producer 0.10
ms          values     p50     p90     p99
whole          611     9.1    14.0    21.5
receive        611     1.0     1.1     1.2
"""
RECORDING = (
    "csv, 1,000,000 trades of 1 markets, 10/s each: 150,000 trades/s, 6.7 s; CPU s a million 9.50 "
    "(broker 2.00, worker 4.00); MB producer 120, worker 200, broker 90\n"
)


def test_a_latency_is_its_99th_percentile_beside_the_rate() -> None:
    """The rate is what came, not trades over seconds."""
    assert latency_of(LATENCY) == Run(30_000, 6.0, 0.0215, None, rate=1000)


def test_a_recording_is_that_of_all_processes() -> None:
    """Memory is that of producer and worker."""
    assert recording_of(1_000_000, RECORDING) == Run(1_000_000, 9.5, 6.7, 320)


def test_what_has_no_figures_is_refused() -> None:
    """Its first words are shown."""
    with pytest.raises(Fatal, match="Kafka is gone"):
        latency_of("Kafka is gone")
