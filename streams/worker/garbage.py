"""How often Python looks for cycles among a worker's objects, and when freed memory goes back to the system.

A worker makes and drops objects by the ten thousand, and keeps millions: panes of markets. Hardly any are in cycles.
Python's own pace looks through the young ones after each 700, and through all of them after each 70 000. With a
thousand markets that took an eighth of the processor's time, and stopped everything for a second now and then.
"""

import asyncio
import ctypes
import gc
from typing import Final

# A bundle of rows leaves some thousand objects; cycles of as many as this take a few megabytes.
YOUNG: Final = 20_000
# The looks at younger objects between two at older ones. A look at all of them is for what hardly ever happens.
LOOKS: Final = (20, 50)


def look_seldom() -> None:
    """Look for cycles at a worker's pace, and never again among what there is now: modules, and the application."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *LOOKS)


# The C library of Linux has it, that of other systems need not.
_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)

# So often freed memory is given back. It takes 5 ms with 500 MB.
GIVE_BACK_SECONDS: Final = 10.0


def give_back() -> None:
    """Give the system what was freed and is kept for later: 30 to 50 MB after a load of 1000 markets.

    A load makes the objects of every chunk and drops them, and so does a replay.
    """
    if _trim is not None:
        _trim(0)


async def give_back_for_ever() -> None:
    """Give back every few seconds, until this is cancelled."""
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        give_back()
