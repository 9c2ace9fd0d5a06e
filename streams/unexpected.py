"""What client libraries raise, where the work must go on whatever it is.

Lost connections raise more than a library documents: asyncio's TypeError from CPython 3.12 on, uvloop's RuntimeError.
So every error of a library means that its server does not answer; one that was not expected is logged, once.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streams.errors import MonitorError, Outage

# Beyond so many kinds the log begins to repeat itself: a bound, not a wish.
MAX_KINDS: Final = 100

_said: set[tuple[str, type[BaseException], str, int | None]] = set()


def say_once(log: logging.Logger, what: str, error: BaseException, *, hide_text: bool = False) -> None:
    """Log an error that nobody expected, with its traceback, the first time that its kind arises there.

    ``what`` says to whom it happened. With ``hide_text`` what the error says is left out: it may hold a secret.
    """
    frames = traceback.extract_tb(error.__traceback__)
    innermost = (frames[-1].filename, frames[-1].lineno) if frames else ("", 0)
    kind = (what, type(error), *innermost)
    if kind in _said:
        return
    if len(_said) >= MAX_KINDS:
        _said.clear()
    _said.add(kind)
    text = "%s: an error that was not expected (%s); going on, more of this kind are not logged"
    if hide_text:
        log.error(f"{text}\n%s", what, type(error).__name__, "".join(traceback.format_list(frames)).rstrip())
    else:
        log.error(text, what, type(error).__name__, exc_info=error)


def in_a_line(error: BaseException) -> str:
    """Return what somebody else's code raised, and where, for a line that tells its author."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{error!r}{where}"


class Library:
    """A client library and the errors it documents for a server that does not answer."""

    def __init__(self, name: str, *expected: type[Exception], hide_text: bool = False) -> None:
        self.expected = expected
        self._log = logging.getLogger(__name__)
        self._name = name
        self._hide_text = hide_text

    def notice(self, error: BaseException) -> str:
        """Return what an error says; log it where neither the library nor the program says such a thing."""
        if not isinstance(error, (*self.expected, MonitorError)):
            say_once(self._log, self._name, error, hide_text=self._hide_text)
        return str(error) or type(error).__name__

    @contextmanager
    def asked(self, server: str) -> Iterator[None]:
        """Raise :class:`Outage` for everything that the library raises inside: ``server`` does not answer."""
        try:
            yield
        except MonitorError:
            raise
        except Exception as error:  # noqa: BLE001 - that is the point
            raise Outage(f"{server} does not answer ({self.notice(error)})") from None

    @contextmanager
    def surprises(self) -> Iterator[None]:
        """Raise :class:`Outage` for what the library raises inside and does not document; the rest passes."""
        try:
            yield
        except self.expected:
            raise
        except MonitorError:
            raise
        except Exception as error:
            raise Outage(self.notice(error)) from error
