"""How alerts are printed: each, or folded where they come by the thousand."""

from streams.local.alert_lines import FOLD_SECONDS, MOST_LINES, AlertLines
from tests.agents.factories import PANE, an_alert


class Screen:
    """Keeps lines, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 100.0
        self.alerts = AlertLines(self.lines.append, "http://view/", colour=False, clock=lambda: self.now)

    def show(self, count: int, severity: str = "HIGH") -> None:
        """Show so many alerts."""
        for at in range(count):
            self.alerts.show(an_alert(pane=PANE + at, severity=severity))


def test_a_few_alerts_are_a_line_each() -> None:
    """As many as a person reads."""
    screen = Screen()
    screen.show(MOST_LINES)
    screen.alerts.fold(at_once=True)
    assert len(screen.lines) == MOST_LINES


def test_what_comes_by_the_thousand_is_one_line() -> None:
    """It says how many there were of which severity, and where they are; once ten seconds are over, or at the end."""
    screen = Screen()
    screen.show(MOST_LINES + 1200)
    screen.show(4, "LOW")
    screen.alerts.fold()
    assert len(screen.lines) == MOST_LINES
    screen.now += FOLD_SECONDS
    screen.alerts.fold()
    assert screen.lines[MOST_LINES:] == ["... and 1,204 more alerts (4 LOW, 1,200 HIGH): see http://view/"]
    screen.show(MOST_LINES + 1)
    screen.alerts.fold(at_once=True)
    assert len(screen.lines) == 2 * MOST_LINES + 2
    assert screen.lines[-1] == "... and 1 more alert (1 HIGH): see http://view/"
