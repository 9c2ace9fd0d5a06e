"""A worker that must not go on: it ends with its reason and its code, after a moment in which it can be asked."""

import subprocess
import sys
import time

from streams.worker.ending import MUST_NOT_GO_ON, UNREADY_SECONDS

PROGRAM = """
import asyncio
from streams.worker.ending import Ending
from streams.errors import Outage

async def main():
    ending = Ending()
    assert not ending.has_begun
    ending.begin(Outage("the disk is full"))
    ending.begin(Outage("the disk is still full"))
    assert ending.has_begun
    asyncio.get_running_loop().call_later(0, print, "can be asked")
    await ending.over()

asyncio.run(main())
"""


def test_who_waits_for_the_end_does_not_go_on_until_it() -> None:
    """The loop runs meanwhile; of two reasons the first one counts."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == MUST_NOT_GO_ON
    assert time.monotonic() - began >= UNREADY_SECONDS
    assert ended.stdout.startswith("can be asked")
    assert ended.stderr == "the disk is full\n"
