"""Which crossings become alerts: severity, cooldown and escalation, remembered per (rule, venue, symbol).

The memory is a list of marks in pane order, one per alert. It depends on event time only.
"""

from bisect import bisect_left
from enum import Enum

import msgspec


class Mark(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An alert raised: its pane, its severity (1 LOW to 4 CRITICAL), and the pane its episode began with.

    A stored mark with more fields cannot be read: a later release added them, and they would be lost.
    """

    pane: int
    severity: int
    episode: int


class Verdict(Enum):
    """What a crossing at a pane means."""

    QUIET = "quiet"
    NEW = "new"
    RAISED = "raised"


def judge(marks: list[Mark], pane: int, severity: int, cooldown: int) -> tuple[Verdict, Mark | None]:
    """Judge a crossing of ``severity`` (at least 1) at ``pane`` and record it in ``marks``.

    ``NEW`` is an alert: the first of an episode (no alert in the ``cooldown`` panes before), or an escalation above
    the episode's highest severity. ``RAISED`` is an alert of this very pane whose severity rose as more of the pane
    arrived. A pane may be judged after a later one, if its trades came late. It is quiet if the later alert already
    told of the same episode at no lower severity.
    """
    # Nearly always the pane is the newest, behind every mark.
    at = len(marks) if not marks or marks[-1].pane < pane else bisect_left(marks, pane, key=lambda mark: mark.pane)
    if at < len(marks) and marks[at].pane == pane:
        mark = marks[at]
        if severity <= mark.severity:
            return Verdict.QUIET, mark
        mark.severity = severity
        return Verdict.RAISED, mark
    before = marks[at - 1] if at else None
    if at < len(marks) and any(later.pane - pane < cooldown and later.severity >= severity for later in marks[at:]):
        return Verdict.QUIET, None
    if before is None or pane >= before.pane + cooldown:
        mark = Mark(pane, severity, pane)
    elif severity > before.severity and severity > _highest(marks, before):
        mark = Mark(pane, severity, before.episode)
    else:
        return Verdict.QUIET, None
    marks.insert(at, mark)
    return Verdict.NEW, mark


def _highest(marks: list[Mark], last: Mark) -> int:
    return max(mark.severity for mark in marks if mark.episode == last.episode and mark.pane <= last.pane)


def forget(marks: list[Mark], oldest_pane: int) -> None:
    """Drop marks before ``oldest_pane``, except those of the latest episode, which the cooldown still needs."""
    if marks and marks[0].pane < oldest_pane:
        latest = marks[-1].episode
        marks[:] = [mark for mark in marks if mark.pane >= oldest_pane or mark.episode == latest]
