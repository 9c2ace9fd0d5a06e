"""The histogram of stages: what is old says nothing of speed, and clocks may differ a little."""

import pytest

from streams import metrics, stages


def counted(name: str) -> tuple[float, float]:
    """Return how many durations a stage has, and their sum in seconds."""
    found = [metrics.REGISTRY.get_sample_value(f"liqmon_stage_seconds_{part}", {"stage": name}) for part in SUMS]
    return found[0] or 0.0, found[1] or 0.0


SUMS = ("count", "sum")


@pytest.mark.parametrize(
    ("seconds", "more", "longer"),
    [(0.25, 1, 0.25), (-0.001, 1, 0.0), (stages.HORIZON_SECONDS, 0, 0.0)],
    ids=["a duration", "two clocks", "a replay"],
)
def test_a_stage_takes_note_of_live_durations(seconds: float, more: int, longer: float) -> None:
    """A record that waited for an hour, or was replayed, is left out."""
    count, total = counted(stages.FOLD)
    stages.Stage(stages.FOLD).took(seconds)
    after = counted(stages.FOLD)
    assert after[0] - count == more
    assert after[1] - total == pytest.approx(longer)
