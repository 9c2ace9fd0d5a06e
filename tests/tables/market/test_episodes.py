"""Episodes: what is an alert, what is quiet, to the pane."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.market.episodes import Mark, Verdict, forget, judge

COOLDOWN = 300
LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4
QUIET, NEW, RAISED = Verdict.QUIET, Verdict.NEW, Verdict.RAISED


def judged(*crossings: tuple[int, int], marks: list[Mark] | None = None) -> list[Verdict]:
    """Judge (pane, severity) crossings in their order."""
    kept = [] if marks is None else marks
    return [judge(kept, pane, severity, COOLDOWN)[0] for pane, severity in crossings]


@pytest.mark.parametrize(
    ("crossings", "verdicts"),
    [
        ([(1000, LOW)], [NEW]),
        ([(1000, LOW), (1001, LOW)], [NEW, QUIET]),
        ([(1000, LOW), (1299, LOW)], [NEW, QUIET]),
        ([(1000, LOW), (1300, LOW)], [NEW, NEW]),
        ([(1000, HIGH), (1299, LOW), (1300, LOW)], [NEW, QUIET, NEW]),
        ([(1000, LOW), (1001, MEDIUM)], [NEW, NEW]),
        ([(1000, HIGH), (1001, HIGH), (1002, MEDIUM)], [NEW, QUIET, QUIET]),
        ([(1000, LOW), (1200, MEDIUM), (1300, MEDIUM), (1499, MEDIUM), (1500, LOW)], [NEW, NEW, QUIET, QUIET, NEW]),
        ([(1000, LOW), (1200, HIGH), (1450, MEDIUM), (1451, CRITICAL)], [NEW, NEW, QUIET, NEW]),
        ([(1000, CRITICAL), (1300, LOW), (1301, MEDIUM)], [NEW, NEW, NEW]),
        ([(1000, LOW), (1000, LOW)], [NEW, QUIET]),
        ([(1000, LOW), (1000, HIGH), (1000, HIGH)], [NEW, RAISED, QUIET]),
        ([(1000, LOW), (1000, HIGH), (1299, HIGH), (1299, CRITICAL)], [NEW, RAISED, QUIET, NEW]),
    ],
)
def test_cooldown_and_escalation(crossings: list[tuple[int, int]], verdicts: list[Verdict]) -> None:
    """Quiet until pane k + cooldown exactly, save for a severity above the highest of the episode."""
    assert judged(*crossings) == verdicts


def test_an_escalation_belongs_to_its_episode_and_restarts_the_cooldown() -> None:
    """An alert at or after the cooldown's end begins a new episode."""
    marks: list[Mark] = []
    judged((1000, LOW), (1299, MEDIUM), (1598, HIGH), (1897, LOW), (1898, LOW), marks=marks)
    assert marks == [
        Mark(1000, LOW, 1000), Mark(1299, MEDIUM, 1000), Mark(1598, HIGH, 1000), Mark(1898, LOW, 1898),
    ]  # fmt: skip


def test_the_highest_of_the_episode_counts_not_the_last() -> None:
    """A pane that was raised is part of it, also when it is raised late."""
    assert judged((1000, LOW), (1000, HIGH), (1100, MEDIUM), (1100, HIGH)) == [NEW, RAISED, QUIET, QUIET]
    assert judged((1000, LOW), (1100, MEDIUM), (1000, HIGH), (1200, HIGH)) == [NEW, NEW, RAISED, QUIET]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=30), st.integers(1, 40))
def test_in_order_as_the_rule_says(steps: list[tuple[int, int]], cooldown: int) -> None:
    """A naive reading of the rule over crossings in pane order; judging one again changes nothing."""
    marks: list[Mark] = []
    pane = 0
    last = highest = episode = None
    for step, severity in steps:
        pane += step
        if last == pane:
            assert highest is not None
            expected = RAISED if severity > marks[-1].severity else QUIET
        elif last is None or pane >= last + cooldown:
            expected, episode, highest = NEW, pane, 0
        else:
            assert highest is not None
            expected = NEW if severity > highest else QUIET
        verdict, mark = judge(marks, pane, severity, cooldown)
        assert verdict is expected
        if verdict is not QUIET:
            last, highest = pane, max(highest or 0, severity)
            assert mark == Mark(pane, severity, episode or 0)
            assert mark is marks[-1]
        assert judge(marks, pane, severity, cooldown)[0] is QUIET


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), max_size=25), st.integers(1, 30))
def test_in_any_order_nothing_is_told_twice(crossings: list[tuple[int, int]], cooldown: int) -> None:
    """Late panes too: one mark a pane, in order, and every crossing is told by an episode near it, no less severe."""
    marks: list[Mark] = []
    for pane, severity in crossings:
        judge(marks, pane, severity, cooldown)
    assert [mark.pane for mark in marks] == sorted({mark.pane for mark in marks})
    assert {mark.pane for mark in marks} <= {pane for pane, _ in crossings}
    for pane, severity in crossings:
        near = {mark.episode for mark in marks if abs(mark.pane - pane) < cooldown}
        assert severity <= max((mark.severity for mark in marks if mark.episode in near), default=0)


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        ((900, MEDIUM), QUIET),
        ((900, LOW), QUIET),
        ((701, LOW), QUIET),
        ((700, LOW), NEW),
        ((900, HIGH), NEW),
    ],
)
def test_a_crossing_that_comes_late(late: tuple[int, int], verdict: Verdict) -> None:
    """Quiet where a later alert of no lower severity, less than a cooldown away, has told of it already."""
    assert judged((1000, MEDIUM), late) == [NEW, verdict]


def test_marks_are_forgotten_with_their_panes_but_not_the_latest_episode() -> None:
    """A cooldown may be longer than panes are kept."""
    marks = [Mark(100, LOW, 100), Mark(500, LOW, 500), Mark(600, HIGH, 500)]
    forget(marks, 50)
    assert len(marks) == 3
    forget(marks, 10_000)
    assert marks == [Mark(500, LOW, 500), Mark(600, HIGH, 500)]
    assert judge(marks, 10_000, HIGH, 20_000)[0] is QUIET
    none: list[Mark] = []
    forget(none, 5)
    assert none == []
