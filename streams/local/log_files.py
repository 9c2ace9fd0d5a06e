"""The log files of a run: they go on where the last run ended, and never grow beyond a size."""

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# A day of a run that is well writes less than 1 MB. Seven files of this size, with those kept, are 350 MB at most.
MAX_BYTES: Final = 10 * 1024 * 1024
KEPT: Final = 4
# The noisiest library writes 20 kB a second in an outage.
CHECK_SECONDS: Final = 5.0


def shorten(directory: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move what each log file holds beyond ``max_bytes`` into ``NAME.log.1``, and that into ``.2``, up to ``KEPT``.

    The programs keep their files open. So the text is copied and the file emptied; a line between the two is lost.
    """
    for path in directory.glob("*.log"):
        if path.stat().st_size <= max_bytes:
            continue
        for number in range(KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


async def keep_short(directory: Path, max_bytes: int = MAX_BYTES) -> None:
    """Shorten the log files of a directory until cancelled. A disk that is full does not end it."""
    while True:
        try:
            await asyncio.to_thread(shorten, directory, max_bytes)
        except OSError as error:
            log.warning("the log files in %s cannot be shortened: %s", directory, error)
        await asyncio.sleep(CHECK_SECONDS)
