"""How a worker ends by itself: at once, since nothing that is not durable yet may be acknowledged on the way out.

Its exit codes are those of a worker that runs. A command that cannot start, for a wrong setting, ends with 1 too.
"""

import logging
import os
from typing import Final, NoReturn

MUST_NOT_GO_ON: Final = 70
"""Exit code where a fault outside of the program is in the way; a restart goes on from the last commit."""

BUG: Final = 1
"""Exit code where the program is in error; the log has the traceback. Faust's own crashes end with it too."""

log = logging.getLogger(__name__)


def die(error: Exception) -> NoReturn:
    """End the process with a line that says why."""
    log.critical("%s", error)
    _exit(MUST_NOT_GO_ON)


def die_of_bug(error: Exception, what: str, *arguments: object) -> NoReturn:
    """End the process with an error's traceback in the log, after ``what`` happened (``arguments`` as in logging)."""
    log.critical(what, *arguments, exc_info=error)
    _exit(BUG)


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
