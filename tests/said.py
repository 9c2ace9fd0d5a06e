"""What a part of the program wrote to the log, apart from what others had to say meanwhile."""

import pytest


def said_by(caplog: pytest.LogCaptureFixture, *names: str) -> list[str]:
    """Return the messages of these loggers and of those below them.

    On asyncio from CPython 3.12 on, a connection that is lost may bring a traceback of its own beside them.
    """
    return [
        record.getMessage()
        for record in caplog.records
        if any(record.name == name or record.name.startswith(f"{name}.") for name in names)
    ]
