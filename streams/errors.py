"""Every error the program raises on purpose.

::

    MonitorError
    ├── BadRecord         a record that cannot be used: to the dead letters, the next one is read
    ├── Outage            a dependency does not answer: retried with backoff, nothing is acknowledged meanwhile
    └── Fatal             the process should not go on: one line for the operator, exit code not 0
        ├── BadSetting    a setting is missing or wrong
        └── BadRecording  a file is no recording that can be read
"""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders of msgspec raise for bytes that others wrote: the last one for values nested without end."""


class MonitorError(Exception):
    """Base of all errors raised on purpose."""


class BadRecord(MonitorError):
    """A record that cannot become a trade.

    ``reason`` is one of :data:`streams.model.deadletters.REASONS`; the text says what was wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Outage(MonitorError):
    """A dependency (broker, Postgres, Redis, Discord, Kraken) does not answer. Try again later."""


class Fatal(MonitorError):
    """The process cannot go on; the text tells the operator what to do."""


class BadSetting(Fatal):
    """A setting is missing or wrong; the text names the variable and what it must be."""


class BadRecording(Fatal):
    """A recording cannot be read; the text says what was found in it, and what to do."""
