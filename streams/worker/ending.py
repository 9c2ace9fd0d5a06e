"""How a worker ends by itself: at once, since nothing may be acknowledged that is not durable yet.

Its exit codes are those of a running worker. A command that cannot start because of a wrong setting ends with 1 too.
"""

import asyncio
import logging
import os
from typing import Final, NoReturn

MUST_NOT_GO_ON: Final = 70
"""Exit code for a fault outside of the program. A restart goes on from the last commit."""

BUG: Final = 1
"""Exit code for an error of the program. The log has the traceback. Faust's own crashes end with it too."""

AS_TOLD: Final = 0
"""Exit code of a worker that was told to end. Nothing is lost, whoever did not answer meanwhile."""

UNREADY_SECONDS: Final = 2.0
"""How long a worker that must not go on answers that it is not ready. A probe that looks every second sees it."""

log = logging.getLogger(__name__)


class Ending:
    """Ends the process a moment later, so that probes meanwhile hear that the worker is not ready.

    Once it :attr:`has_begun`, whoever acknowledges, counts or judges waits in :meth:`over` instead.
    """

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self, error: Exception) -> None:
        """End the process in a moment, with a line that says why. Only the first call counts; needs a running loop."""
        if not self.has_begun:
            self.has_begun = True
            asyncio.get_running_loop().call_later(UNREADY_SECONDS, die, error)

    async def over(self) -> NoReturn:
        """Never return: the caller must do nothing more until the process ends."""
        while True:  # noqa: ASYNC110 - it ends the process, not the loop
            await asyncio.sleep(UNREADY_SECONDS)


def die(error: Exception) -> NoReturn:
    """End the process with a line that says why."""
    log.critical("%s", error)
    _exit(MUST_NOT_GO_ON)


def leave(error: BaseException) -> NoReturn:
    """End the process that was told to end, though somebody does not answer: no fault, and the last commit stands."""
    log.warning("ended without what was under way, which the next start does again: %s", error)
    _exit(AS_TOLD)


def die_of_bug(error: Exception, what: str, *arguments: object) -> NoReturn:
    """End the process with an error's traceback in the log, after ``what`` happened (``arguments`` as in logging)."""
    log.critical(what, *arguments, exc_info=error)
    _exit(BUG)


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
