"""Keeps what libraries say of one fault to a line per minute: the Kafka client logs 150 lines a second of an outage."""

import logging
import re
import time
from collections.abc import Callable
from typing import Final

# Whoever reads the log of an outage of hours can read all of it, and sees within a minute that it goes on.
REPEAT_SECONDS: Final = 60.0
# The four libraries have about 190 templates at WARNING and above. More of them means that one formats its text before
# it logs.
MAX_TEMPLATES: Final = 200
# At level debug they log what the members of the group send each other, and a secret is among it.
TALKATIVE: Final = ("aiokafka.conn", "aiokafka.consumer.group_coordinator")
LIBRARIES: Final = ("aiokafka", "faust", "mode", "asyncio")

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
STAMP: Final = re.compile(r"^(\S+ \S+ [A-Z]+ \S+|liqmon): ")


def without_stamp(line: str) -> str:
    """Return what a line of a log says, without its time, level and module, or the command's name."""
    return STAMP.sub("", line)


class Repeats(logging.Filter):
    """Lets a library's message pass once a minute for each of its templates; the next one says how many were left out.

    The program's own messages pass. So do all of a library's once it has used more templates than are remembered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # By logger and template: when the next one may pass, and how many were left out since the last.
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written."""
        if record.name.partition(".")[0] not in LIBRARIES or record.levelno < logging.WARNING:
            return True
        key = (record.name, str(record.msg))
        now = self._clock()
        passes_at, left_out = self._seen.get(key, (now, 0))
        if now < passes_at:
            self._seen[key] = (passes_at, left_out + 1)
            return False
        if key in self._seen or len(self._seen) < MAX_TEMPLATES:
            self._seen[key] = (now + REPEAT_SECONDS, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more of this kind since the last)", ()
        return True


def logging_config(level: str) -> dict[str, object]:
    """Return logging to standard error, one line per record; Faust's own tables and banners at warning only."""
    of_libraries = logging.DEBUG if level == "debug" else logging.WARNING
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": FORMAT}},
        "filters": {"repeats": {"()": Repeats}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {name: {"level": of_libraries} for name in LIBRARIES}
        | {name: {"level": max(of_libraries, logging.INFO)} for name in TALKATIVE},
    }
