"""What ``liqmon`` runs first: until a command has begun, Ctrl-C ends the process at once.

Extension modules that are being imported make a panic of the exception that Python would raise.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""What a shell says of a process that SIGINT ended: 128 + 2."""


def main() -> int:
    """Run the command line; return the exit code."""
    signal.signal(signal.SIGINT, _leave)
    from streams.cli import main as command_line  # noqa: PLC0415 - after the line above

    return command_line()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"liqmon: stopped before it was ready\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    raise SystemExit(main())
