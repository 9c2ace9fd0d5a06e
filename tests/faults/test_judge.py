"""The judge of runs whose trades were out of order sees what it is there for."""

import pytest

from streams.model.alert import Alert
from tests.agents.factories import an_alert
from tests.faults.judge import check_quiet

NOON = 1_600_000_000


def alerts(*raised: tuple[int, str, int]) -> list[Alert]:
    """Return alerts of one market: pane, severity and episode, in seconds since noon."""
    return [an_alert(pane=NOON + pane, severity=severity, episode=NOON + episode) for pane, severity, episode in raised]


def test_escalations_and_later_episodes_are_right() -> None:
    """Also where one comes late that no other has told."""
    check_quiet(alerts((0, "LOW", 0), (120, "MEDIUM", 0), (420, "LOW", 420), (500, "CRITICAL", 420)))
    check_quiet(alerts((420, "LOW", 420), (0, "LOW", 0), (120, "MEDIUM", 0), (500, "CRITICAL", 420)))
    check_quiet(alerts((20, "LOW", 20), (0, "MEDIUM", 0), (50, "HIGH", 20)))


def test_each_rule_of_a_market_has_episodes_of_its_own() -> None:
    """What one rule has told keeps another neither quiet nor in its episode."""
    check_quiet([*alerts((0, "HIGH", 0)), an_alert(rule="price_move", pane=NOON + 20, severity="LOW")])


@pytest.mark.parametrize(
    "raised",
    [
        [(0, "LOW", 0), (20, "LOW", 20)],
        [(0, "LOW", 0), (20, "MEDIUM", 20)],
        [(0, "LOW", 0), (20, "LOW", 0)],
        [(0, "HIGH", 0), (20, "MEDIUM", 0)],
        [(0, "LOW", 0), (250, "MEDIUM", 0), (310, "LOW", 310)],
        [(20, "LOW", 0)],
        [(20, "MEDIUM", 20), (0, "LOW", 0)],
    ],
    ids=[
        "forgotten",
        "forgotten, higher",
        "twice",
        "lower",
        "cooldown not restarted",
        "of no beginning",
        "late and told already",
    ],
)
def test_what_an_episode_that_was_lost_would_raise_is_noticed(raised: list[tuple[int, str, int]]) -> None:
    """The second alert is one too many, or belongs elsewhere."""
    with pytest.raises(AssertionError):
        check_quiet(alerts(*raised))
