"""Errors of client libraries, expected or not: an outage each, and a traceback once for what nobody expected."""

import asyncio
import logging

import pytest

from streams import unexpected
from streams.errors import Fatal, Outage
from streams.unexpected import Library, say_once

log = logging.getLogger(__name__)


@pytest.mark.parametrize("error", [OSError("refused"), TypeError("'NoneType' object is not callable"), KeyError("id")])
def test_whatever_a_library_raises_is_an_outage(error: Exception) -> None:
    """Documented or not; the text says which server and why."""
    with pytest.raises(Outage, match=r"Redis does not answer \(.+\)"), Library("a client", OSError).asked("Redis"):
        raise error


@pytest.mark.parametrize("error", [Fatal("too large"), Outage("away"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_the_programs_own_errors_and_orders_to_stop_pass(error: BaseException) -> None:
    """They are no library's."""
    library = Library("a client", OSError)
    for guarded in (library.asked("Redis"), library.surprises()):
        with pytest.raises(type(error)) as raised, guarded:
            raise error
        assert raised.value is error


def test_what_a_library_documents_passes_where_only_surprises_are_turned() -> None:
    """A caller that tells documented errors apart still can."""
    library = Library("a client", OSError)
    with pytest.raises(ConnectionResetError), library.surprises():
        raise ConnectionResetError
    with pytest.raises(Outage, match="not callable"), library.surprises():
        raise TypeError("'NoneType' object is not callable")


def test_an_unexpected_error_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """However often it comes; another one, or the same from another place, is another line. Expected ones are none."""
    library = Library("a client", OSError)

    def fail(error: Exception) -> None:
        with pytest.raises(Outage), library.asked("Redis"):
            raise error

    for _ in range(50):
        fail(OSError("refused"))
        fail(TypeError("not callable"))
    (record,) = caplog.records
    assert record.exc_info
    assert "a client: an error that was not expected (TypeError)" in record.getMessage()
    fail(KeyError("id"))
    with pytest.raises(Outage), library.asked("Redis"):
        raise TypeError("not callable")
    assert len(caplog.records) == 3


def test_what_was_said_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A program that meets ever new errors does not grow for it."""
    for number in range(3 * unexpected.MAX_KINDS):
        say_once(log, f"part {number}", TypeError("no"))
    assert len(unexpected._said) <= unexpected.MAX_KINDS
    assert len(caplog.records) == 3 * unexpected.MAX_KINDS


def test_a_text_that_may_hold_a_secret_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Where it came from is, and what kind it was."""
    address = "/".join(["https://discord.example", "the", "token"])
    with pytest.raises(Outage), Library("a client", OSError, hide_text=True).asked("Discord"):
        raise ValueError(address)
    assert address not in caplog.text
    assert "ValueError" in caplog.text
    assert "test_unexpected.py" in caplog.text
