"""How progress is shown."""

import asyncio
import io
import logging

import pytest

from streams import progress as module
from streams.progress import ReadProgress, show_progress
from tests.waiting import until


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


async def test_on_a_terminal_one_line_is_rewritten() -> None:
    """Each state replaces the one before; the last one ends its line."""
    progress = ReadProgress("XBTUSD.csv", 200)
    terminal = Terminal()
    showing = asyncio.create_task(show_progress(progress, terminal, terminal_seconds=0.001))
    progress.bytes, progress.rows = 100, 5
    await until(lambda: "50%, 5 trades" in terminal.getvalue())
    progress.bytes = 200
    progress.finish()
    await showing
    shown = terminal.getvalue()
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    assert shown.rpartition("\r")[2].startswith("\x1b[KXBTUSD.csv: 100%, 5 trades")


async def test_elsewhere_lines_are_logged_and_the_last_state_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No control characters reach a file, and nothing but the log is written."""
    monkeypatch.setattr(module, "LOG_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    progress = ReadProgress("XBTUSD.csv", 100)
    stream = io.StringIO()
    showing = asyncio.create_task(show_progress(progress, stream))
    await until(lambda: bool(caplog.messages))
    progress.bytes, progress.rows, progress.rejects = 100, 12345, 2
    progress.finish()
    await showing
    assert caplog.messages[0].startswith("XBTUSD.csv:   0%, 0 trades")
    assert caplog.messages[-1].startswith("XBTUSD.csv: 100%, 12,345 trades, 2 refused")
    assert stream.getvalue() == ""


async def test_a_stopped_recording_shows_how_far_it_came(caplog: pytest.LogCaptureFixture) -> None:
    """Cancelled at the end of the program, it says the last state."""
    caplog.set_level(logging.INFO)
    progress = ReadProgress("XBTUSD.csv", 100)
    showing = asyncio.create_task(show_progress(progress, io.StringIO()))
    await asyncio.sleep(0)
    progress.bytes = 42
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    assert caplog.messages[-1].startswith("XBTUSD.csv:  42%")


async def test_the_rate_is_that_of_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all is read it does not fall while the broker takes the rest."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = ReadProgress("XBTUSD.csv", 100)
    progress.rows = 1000
    now += 10
    assert progress.rate == pytest.approx(100)
    progress.finish()
    now += 90
    assert progress.rate == pytest.approx(100)


async def test_the_rest_takes_as_long_a_part_as_it_has_taken_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read and waits for the broker is not done yet; in the first seconds nothing is promised."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = ReadProgress("XBTUSD.csv", 100)
    progress.bytes, progress.rows, progress.waiting = 50, 1000, lambda: 500
    now += 1
    assert str(progress) == "XBTUSD.csv:  25%, 500 trades, 500 trades/s"
    now += 3
    assert str(progress) == "XBTUSD.csv:  25%, 500 trades, 125 trades/s, 12 s left"
    now += 396
    assert str(progress).endswith(", 20 min left")
    progress.finish()
    assert str(progress) == "XBTUSD.csv:  50%, 1,000 trades, 2 trades/s"
