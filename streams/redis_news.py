"""What the log says of a Redis: an outage once at each end, and one that keeps coming back once a minute, counted."""

import logging
import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from streams.unexpected import Library

log = logging.getLogger(__name__)

MINUTE_SECONDS: Final = 60.0
# How Redis begins its refusal of writes, beside being full or a replica: its disk fails, or its replicas are missing.
_NO_WRITES: Final = ("OOM", "READONLY", "MISCONF", "NOREPLICAS")


class Slow(Exception):
    """Redis took longer than a call may last. Whether it answers at all is not known yet."""


class RedisNews:
    """What one part of the program has to say of its Redis. ``without`` is what it goes without meanwhile.

    ``where`` is the server's address without a password, ``deadline_seconds`` how long a call may last.
    """

    def __init__(
        self,
        library: Library,
        where: str,
        *,
        without: str,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._library = library
        self._where = where
        self._without = without
        self._limit = f"{deadline_seconds * 1000:g} ms"
        self._clock = clock
        self._began: float | None = None
        self._last: BaseException = Slow()
        self._is_said = False
        # The last line, and what came since and was not said: how often, and for how long Redis was missing.
        self._said_at = float("-inf")
        self._times = 0
        self._seconds = 0.0

    def failed(self, error: BaseException) -> None:
        """Redis is left alone from now on, or a probe finds that it still must be."""
        if not isinstance(error, Slow):
            self._library.notice(error)
        now, begins = self._clock(), self._began is None
        if self._began is None:
            self._began = now
        self._last = error
        # One slow answer may be all: the probe tells.
        is_news = not (begins and isinstance(error, Slow))
        if is_news and not self._is_said and now - self._said_at >= MINUTE_SECONDS:
            self._is_said = True
            self._said_at = now
            log.warning(
                "Redis at %s %s: going on without %s until that is over%s",
                self._where,
                self._is(error),
                self._without,
                f" ({self._times} times in the minute before)" if self._times else "",
            )
            self._forget()

    def answered(self) -> None:
        """Redis is used again."""
        if self._began is None:
            return
        now, seconds = self._clock(), self._clock() - self._began
        self._began = None
        if self._is_said:
            self._is_said = False
            self._said_at = now
            log.info("Redis at %s %s again after %.1f s", self._where, self._does(self._last), seconds)
            return
        self._times += 1
        self._seconds += seconds
        self.used()

    def used(self) -> None:
        """Say what was left unsaid, once the last line is a minute old. Costs nothing where there is nothing to say."""
        if not self._times or self._clock() - self._said_at < MINUTE_SECONDS:
            return
        times = "once" if self._times == 1 else f"{self._times} times"
        since = self._clock() - self._said_at
        within = f" in {since:.0f} s" if self._times > 1 and since < float("inf") else ""
        log.warning(
            "Redis at %s %s, %s%s: %.1f s without %s",
            self._where,
            self._was(self._last),
            times,
            within,
            self._seconds,
            self._without,
        )
        self._said_at = self._clock()
        self._forget()

    def _forget(self) -> None:
        self._times, self._seconds = 0, 0.0

    def _is(self, error: BaseException) -> str:
        if isinstance(error, Slow):
            return f"is slower than {self._limit}"
        text = str(error) or type(error).__name__
        if _takes_no_writes(error):
            return f"takes no writes ({text})"
        return f"refuses what it is told ({text})" if isinstance(error, ResponseError) else f"does not answer ({text})"

    def _was(self, error: BaseException) -> str:
        if isinstance(error, Slow):
            return f"was slower than {self._limit}"
        text = str(error) or type(error).__name__
        return f"took no writes ({text})" if _takes_no_writes(error) else f"did not answer ({text})"

    def _does(self, error: BaseException) -> str:
        if isinstance(error, Slow):
            return f"answers within {self._limit}"
        return "takes writes" if _takes_no_writes(error) else "answers"


def _takes_no_writes(error: BaseException) -> bool:
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or (
        isinstance(error, ResponseError) and str(error).startswith(_NO_WRITES)
    )
