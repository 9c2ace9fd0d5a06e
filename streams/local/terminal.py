"""The lines of a run: those that stay, and on a terminal one below them that is written over."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

_CLEAR: Final = "\r\x1b[K"


class Terminal:
    """Writes to standard output. A closed pipe ends the printing, not the run."""

    def __init__(self) -> None:
        self._status = ""

    @property
    def is_live(self) -> bool:
        """Whether a line can be written over: a person looks at it."""
        return sys.stdout.isatty()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._write(f"{_CLEAR if self._status else ''}{text}\n{self._status}")

    def show(self, status: str) -> None:
        """Write over the last line, on a terminal; an empty text takes it away."""
        if self.is_live and (status or self._status):
            # A line that is wrapped could not be written over.
            self._status = status[: shutil.get_terminal_size().columns - 1]
            self._write(f"{_CLEAR}{self._status}")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of the process


TERMINAL: Final = Terminal()


def say(text: str) -> None:
    """Print a line for the person at the terminal."""
    TERMINAL.say(text)
