"""What a run writes on a terminal, and elsewhere."""

import io
from contextlib import redirect_stdout

import pytest

from streams.local.terminal import Terminal


class Screen(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_stay_above_the_one_that_is_written_over() -> None:
    """A line takes the place of the status, which comes again below it."""
    screen, terminal = Screen(), Terminal()
    with redirect_stdout(screen):
        terminal.show("10%")
        terminal.show("20%")
        terminal.say("alert")
        terminal.show("")
        terminal.say("summary")
    clear = "\r\x1b[K"
    assert screen.getvalue() == f"{clear}10%{clear}20%{clear}alert\n20%{clear}summary\n"


def test_a_long_status_is_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is wrapped could not be written over."""
    screen = Screen()
    monkeypatch.setenv("COLUMNS", "40")
    with redirect_stdout(screen):
        Terminal().show("x" * 100)
    assert screen.getvalue().count("x") == 39


def test_elsewhere_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """No control characters reach a file."""
    terminal = Terminal()
    terminal.show("10%")
    terminal.say("alert")
    assert capsys.readouterr().out == "alert\n"
